//! What the user asks for by a signal.

use crate::exit::{Failure, failed};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for. Only a second Ctrl-C stops at once: whoever terminates a process may
/// reach it twice, by itself and with its group.
pub enum Asked {
    /// Ctrl-C.
    ToInterrupt,
    /// The others.
    ToTerminate,
}

/// Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// Takes the signals over from the system's defaults.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::ToInterrupt,
            _ = self.terminate.recv() => Asked::ToTerminate,
            _ = self.hang_up.recv() => Asked::ToTerminate,
        }
    }
}
