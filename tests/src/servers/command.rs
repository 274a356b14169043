//! A program that is run to its end, within a limit.

use crate::harness::wait_with_timeout;
use std::io::{self, Read, Seek};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// What a program left.
#[derive(Debug, Clone)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed to its standard output.
    pub stdout: String,
    /// What it printed to its standard error.
    pub stderr: String,
}

impl Finished {
    /// The standard output of a program that succeeded.
    ///
    /// # Panics
    /// When it failed, with all that it printed.
    pub fn expect_success(self) -> String {
        assert!(
            self.status.success(),
            "{}; it printed:\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// Runs a program with nothing to read, and kills it and all in its process
/// group at the limit.
pub(super) fn run(command: &mut Command, limit: Duration) -> io::Result<Finished> {
    // Files, not pipes: what outlives the program cannot hold these open.
    let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stdout.try_clone()?)
        .stderr(stderr.try_clone()?)
        .process_group(0)
        .spawn()?;
    let waited = wait_with_timeout(&mut child, limit);
    if waited.is_err() {
        let group = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        child.wait()?;
    }
    let text = |file: &mut std::fs::File| {
        file.rewind()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let (stdout, stderr) = (text(&mut stdout)?, text(&mut stderr)?);
    match waited {
        Ok(status) => Ok(Finished {
            status,
            stdout,
            stderr,
        }),
        Err(error) => Err(io::Error::new(
            error.kind(),
            format!("{error}; it printed:\n{stdout}{stderr}"),
        )),
    }
}
