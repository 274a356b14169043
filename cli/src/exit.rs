//! Exit codes, and the one place where an error is printed.

use crate::say;
use std::fmt;
use std::process::ExitCode;

/// Exit code of a worker that was told to go (`EX_TEMPFAIL`).
pub const DRAINED: u8 = 75;

/// Why the program ends other than with 0.
#[derive(Debug)]
pub enum Failure {
    /// What was given cannot be used, and nothing was written: exit code 2.
    BadInput(anyhow::Error),
    /// It was tried and failed: exit code 1.
    Failed(anyhow::Error),
    /// A second Ctrl-C: exit code 130.
    Interrupted,
    /// A signal ended it in order, before there was a result: exit code 130, and what to do.
    Stopped(String),
    /// A worker that was told to go has gone before the run's end: exit code 75, which tells whoever
    /// started it that another one is of use.
    Drained,
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Failed(_) => 1,
            Self::Interrupted | Self::Stopped(_) => 130,
            Self::Drained => DRAINED,
        }
    }

    /// The same failure where nothing that was given can be at fault any more.
    pub fn of_attempt(self) -> Self {
        match self {
            Self::BadInput(error) => Self::Failed(error),
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(error) | Self::Failed(error) => write!(f, "{}", told_once(error)),
            Self::Interrupted => write!(f, "stopped at once; the newest checkpoint is in force"),
            Self::Stopped(what) => write!(f, "{what}"),
            Self::Drained => write!(f, "left the run, as it was told to"),
        }
    }
}

/// An error and its causes, without those whose words the text holds already.
fn told_once(error: &anyhow::Error) -> String {
    error
        .chain()
        .fold(String::new(), |text, cause| match cause.to_string() {
            cause if text.contains(&cause) => text,
            cause if text.is_empty() => cause,
            cause => format!("{text}: {cause}"),
        })
}

/// Marks an error as the input's fault.
pub fn bad_input(error: impl Into<anyhow::Error>) -> Failure {
    Failure::BadInput(error.into())
}

/// Marks an error as a failure of the attempt.
pub fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Failed(error.into())
}

/// Marks an error as the one or the other, as it says of itself.
pub fn failure(is_bad_input: bool, error: impl Into<anyhow::Error>) -> Failure {
    match is_bad_input {
        true => bad_input(error),
        false => failed(error),
    }
}

/// Prints the error, if there is one, and gives the exit code.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            match failure {
                Failure::Drained | Failure::Stopped(_) => say::log(failure.to_string()),
                _ => say::log(format!("error: {failure}")),
            }
            ExitCode::from(failure.code())
        }
    }
}
