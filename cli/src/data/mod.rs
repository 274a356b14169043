//! `twinspan data`: shards.

mod audit;
mod index;
mod inspect;
mod pack;

use crate::args::DataTask;
use crate::exit::{Failure, bad_input};
use anyhow::anyhow;
use std::path::Path;
use twinspan_types::config::{expand_braces, url_of_path};

/// Does one of them.
pub fn run(task: &DataTask) -> Result<(), Failure> {
    match task {
        DataTask::Audit(args) => audit::run(args),
        DataTask::Index(args) => index::run(args),
        DataTask::Inspect(args) => inspect::run(args),
        DataTask::Pack(args) => pack::run(args),
    }
}

/// The URLs behind what was given: braces expanded, paths from the current folder.
pub fn urls(given: &[String]) -> Result<Vec<String>, Failure> {
    let mut urls = Vec::new();
    for pattern in given {
        let expanded = expand_braces(pattern).map_err(|reason| bad_input(anyhow!(reason)))?;
        urls.extend(expanded.iter().map(|path| folder_or_file(path)));
    }
    Ok(urls)
}

/// A folder of this machine means all that is below, with or without a slash at its end.
fn folder_or_file(path: &str) -> String {
    match Path::new(path).is_dir() && !path.ends_with('/') {
        true => url_of_path(&format!("{path}/")),
        false => url_of_path(path),
    }
}
