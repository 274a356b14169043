//! Exit codes, and the one place where an error is printed.

use std::fmt;
use std::process::ExitCode;

/// Why the program ends other than with 0.
#[derive(Debug)]
pub enum Failure {
    /// What was given cannot be used, and nothing was written: exit code 2.
    BadInput(anyhow::Error),
    /// It was tried and failed: exit code 1.
    Failed(anyhow::Error),
    /// A second Ctrl-C: exit code 130.
    Interrupted,
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::BadInput(_) => 2,
            Self::Failed(_) => 1,
            Self::Interrupted => 130,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(error) | Self::Failed(error) => write!(f, "{error:#}"),
            Self::Interrupted => write!(f, "stopped at once; the newest checkpoint is in force"),
        }
    }
}

/// Marks an error as the input's fault.
pub fn bad_input(error: impl Into<anyhow::Error>) -> Failure {
    Failure::BadInput(error.into())
}

/// Marks an error as a failure of the attempt.
pub fn failed(error: impl Into<anyhow::Error>) -> Failure {
    Failure::Failed(error.into())
}

/// Prints the error, if there is one, and gives the exit code.
pub fn report(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
