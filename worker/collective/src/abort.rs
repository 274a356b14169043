//! Stopping a rank's collectives from another thread.

use crate::CollectiveError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often a waiting collective looks whether it was aborted.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Stops one rank's collectives, and tells which one it is in. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct AbortHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sequence: AtomicU64,
    reason: OnceLock<String>,
}

impl AbortHandle {
    /// A handle to pass to [`crate::TcpRing::connect_abortable`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the collective in flight fail within about 100 ms, and all later ones at once. The
    /// first reason stays.
    pub fn abort(&self, reason: impl Into<String>) {
        // A second reason is dropped: the first is why the collective fails.
        let _ = self.shared.reason.set(reason.into());
    }

    /// The number of the collective that the rank entered last, from 1; 0 before the first. Of
    /// ranks that wait for each other, the one with the lowest number is the one waited for.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.shared.sequence.load(Ordering::Acquire)
    }

    /// Counts one more collective as entered and returns its number.
    pub(crate) fn enter(&self) -> u64 {
        self.shared.sequence.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Fails once the handle was aborted.
    pub(crate) fn check(&self) -> Result<(), CollectiveError> {
        match self.shared.reason.get() {
            Some(reason) => Err(CollectiveError::Aborted {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }
}
