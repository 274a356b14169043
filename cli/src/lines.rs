//! Text files of one thing a line.

use crate::exit::{Failure, bad_input};
use anyhow::{Context, anyhow};
use std::path::Path;

/// The lines of a file of `what`, such as "labels"; blank ones are allowed at its end alone.
pub fn read(file: &Path, what: &str) -> Result<Vec<String>, Failure> {
    let place = file.display();
    let bytes = std::fs::read(file)
        .with_context(|| format!("{place} cannot be read: it should hold {what}, one a line"))
        .map_err(bad_input)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| bad_input(anyhow!("{place} is not UTF-8: save it as UTF-8")))?;
    let lines: Vec<String> = text
        .trim_end()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    if lines.is_empty() {
        return Err(bad_input(anyhow!(
            "{place} is empty: it should hold {what}, one a line"
        )));
    }
    match lines.iter().position(String::is_empty) {
        Some(at) => Err(bad_input(anyhow!(
            "{place}, line {}: the line is empty: remove it",
            at + 1
        ))),
        None => Ok(lines),
    }
}
