//! promtool, which checks and tests Prometheus's files.

use super::command::{self, Finished};
use super::{StartError, installed};
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs promtool with these arguments.
///
/// # Errors
/// [`StartError::NotInstalled`] without it; a file that it finds faults in is
/// no error here.
pub fn promtool<A: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = A>,
) -> Result<Finished, StartError> {
    let program = installed::find_in_system("promtool")?;
    Ok(command::run(Command::new(program).args(arguments), LIMIT)?)
}
