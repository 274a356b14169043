//! The step that all workers commit at the same time.

use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// One step.
pub const STEP: Duration = Duration::from_millis(250);

/// Starts once every worker has its world.
pub struct Clock {
    workers: u32,
    /// A permit for each worker that is ready.
    ready: Semaphore,
    /// The last committed step; none when the workers are to go.
    step: watch::Sender<Option<u64>>,
}

impl Clock {
    pub fn new(workers: u32) -> Self {
        Self {
            workers,
            ready: Semaphore::new(0),
            step: watch::Sender::new(Some(0)),
        }
    }

    /// A worker has its world.
    pub fn note_ready(&self) {
        self.ready.add_permits(1);
    }

    /// Waits for the worlds of all.
    pub async fn wait_for_all(&self) {
        // It fails only where the semaphore was closed, and this one never is.
        let _ = self.ready.acquire_many(self.workers).await;
    }

    pub fn step(&self) -> Option<u64> {
        *self.step.borrow()
    }

    /// Commits step after step, then lets the workers go.
    pub async fn run(&self, time: Duration) {
        let begun = Instant::now();
        for step in 1.. {
            let at = begun + STEP * step;
            if at > begun + time {
                break;
            }
            sleep_until(at).await;
            self.step.send_replace(Some(u64::from(step)));
        }
        sleep_until(begun + time).await;
        self.step.send_replace(None);
    }
}
