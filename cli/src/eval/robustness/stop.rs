//! Signals over the whole command: none is lost between its parts.

use crate::exit::{Failure, failed};
use crate::processes::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::runtime::{Builder, Runtime};

/// Hears signals for as long as it lives.
pub struct Stop {
    asked: Arc<AtomicBool>,
    /// Listens on a thread of its own, and ends when it is dropped.
    _listener: Runtime,
}

impl Stop {
    /// Takes the signals over from the system's defaults.
    pub fn listen() -> Result<Self, Failure> {
        let asked = Arc::new(AtomicBool::new(false));
        let listener = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(failed)?;
        let mut signals = listener.block_on(async { Signals::new() })?;
        let heard = Arc::clone(&asked);
        listener.spawn(async move {
            signals.next().await;
            heard.store(true, Ordering::Relaxed);
        });
        Ok(Self {
            asked,
            _listener: listener,
        })
    }

    /// Whether a signal has come.
    pub fn asked(&self) -> &AtomicBool {
        &self.asked
    }

    /// Ends the command between two of its parts where a signal has come.
    ///
    /// # Errors
    /// One has.
    pub fn check(&self) -> Result<(), Failure> {
        match self.asked.load(Ordering::Relaxed) {
            true => Err(Failure::Stopped(
                "stopped; the same command goes on, with CLIP's training from where it is and with \
                 the classifier's from its beginning"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }
}
