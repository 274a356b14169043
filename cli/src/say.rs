//! The two streams. A reader that has gone, such as `head` or a closed terminal, stops nothing.

use crate::exit::{Failure, failed};
use anyhow::Context;
use std::io::{ErrorKind, Write};

/// A result, with its line's end, on standard output.
pub fn result(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written
            .context("cannot write to standard output")
            .map_err(failed),
    }
}

/// A line for those who watch, on standard error.
pub fn log(line: impl std::fmt::Display) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
