//! Why a server could not be started, and what a test does about it.

use crate::skip;
use std::io;
use std::path::PathBuf;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program is not on this machine: skip the test.
    #[error("{program} is not at {}: run tests/install-servers.sh", path.display())]
    NotInstalled {
        /// What the program is called.
        program: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The program is there and does not serve: the test fails.
    #[error("{program} does not serve: {reason}; its log ends with:\n{log}")]
    NotServing {
        /// What the program is called.
        program: &'static str,
        /// What was seen.
        reason: String,
        /// The last lines that it printed.
        log: String,
    },
    /// A port, a file or a process was refused by the system: the test fails.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The server, or `None` when its program is not installed, with the reason
/// printed: the test then returns.
///
/// # Panics
/// When the server is installed and does not start, and when it is not
/// installed where `CI` is `true`: there a skip would be a hole in the net.
#[must_use]
pub fn or_skip<T>(started: Result<T, StartError>) -> Option<T> {
    match started {
        Ok(server) => Some(server),
        Err(error @ StartError::NotInstalled { .. }) => {
            assert!(!skip::in_ci(), "CI must not skip this test: {error}");
            skip::say(error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}
