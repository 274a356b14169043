//! A server's process: started, killed, started again, never left behind.

use super::StartError;
use crate::harness::wait_with_timeout;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long to pause between two looks at a server that does not answer yet.
const POLL_PAUSE: Duration = Duration::from_millis(20);
/// A loaded machine starts a server in seconds; this is a limit, no estimate.
const START_LIMIT: Duration = Duration::from_secs(60);
/// How long a server has to save what it holds.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How much of the log an error shows.
const LOG_LINES: usize = 20;

/// A server's command line and, while it runs, its process.
#[derive(Debug)]
pub(super) struct ServerProcess {
    /// What the program is called in messages.
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    pub(super) environment: Vec<(&'static str, OsString)>,
    /// Gets what the program prints, start after start.
    pub(super) log: PathBuf,
    pub(super) running: Option<Running>,
}

/// The process and its guard.
#[derive(Debug)]
pub(super) struct Running {
    server: Child,
    /// Kills the server when this process ends without a drop: its standard
    /// input is a pipe that only this process holds open.
    guard: Child,
}

impl ServerProcess {
    /// Starts the program and waits until `serves` says so.
    pub(super) fn start(&mut self, serves: impl FnMut() -> bool) -> Result<(), StartError> {
        self.kill()?;
        let log = File::options().create(true).append(true).open(&self.log)?;
        let server = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let guard = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$0\"", &server.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.running = Some(Running { server, guard });
        self.wait_until(serves)
    }

    fn wait_until(&mut self, mut serves: impl FnMut() -> bool) -> Result<(), StartError> {
        let started = Instant::now();
        while !serves() {
            if let Some(running) = &mut self.running
                && let Some(status) = running.server.try_wait()?
            {
                return Err(self.not_serving(format!("it ended with {status}")));
            }
            if started.elapsed() >= START_LIMIT {
                return Err(self.not_serving(format!("no answer within {START_LIMIT:?}")));
            }
            std::thread::sleep(POLL_PAUSE);
        }
        Ok(())
    }

    fn not_serving(&self, reason: String) -> StartError {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let log = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        StartError::NotServing {
            program: self.name,
            reason,
            log,
        }
    }

    /// Kills the program as `kill -9` does and waits until it is gone.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut running) = self.running.take() {
            // The guard first: it must not outlive the number that it kills.
            running.guard.kill()?;
            running.guard.wait()?;
            running.server.kill()?;
            running.server.wait()?;
        }
        Ok(())
    }

    /// Asks the program to end (SIGTERM) and waits until it has.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        if let Some(running) = &mut self.running {
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&running.server),
                rustix::process::Signal::TERM,
            )?;
            wait_with_timeout(&mut running.server, STOP_LIMIT)?;
        }
        self.kill()
    }

    /// The process's id while the program runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.server.id())
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
