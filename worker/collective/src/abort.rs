//! Stopping a rank's collectives from another thread, and what the engines of one generation share.

use crate::CollectiveError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often a waiting collective looks whether it was aborted.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Stops one rank's collectives, and tells which one it is in. Clones share one state.
///
/// Engines that serve one generation side by side share one handle: they count their collectives
/// together, and what breaks one of them breaks all.
#[derive(Debug, Clone, Default)]
pub struct AbortHandle {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    sequence: AtomicU64,
    completed: AtomicU64,
    /// The first collective that goes on after its call; 0 without one.
    under_way: AtomicU64,
    reason: OnceLock<String>,
    /// What another thread than the caller's saw break.
    failed: OnceLock<CollectiveError>,
    poisoned: OnceLock<String>,
    sent: AtomicU64,
    received: AtomicU64,
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

    /// Bytes that were sent to other ranks, and received from them.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        let Shared { sent, received, .. } = &*self.shared;
        (
            sent.load(Ordering::Relaxed),
            received.load(Ordering::Relaxed),
        )
    }

    /// Counts bytes that went over the wire.
    pub(crate) fn count_traffic(&self, sent: usize, received: usize) {
        self.shared.sent.fetch_add(sent as u64, Ordering::Relaxed);
        self.shared
            .received
            .fetch_add(received as u64, Ordering::Relaxed);
    }

    /// Counts one more collective as entered and returns its number.
    pub(crate) fn enter(&self) -> u64 {
        self.shared.sequence.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Takes note that a collective is done on this rank.
    pub(crate) fn complete(&self, sequence: u64) {
        self.shared.completed.fetch_max(sequence, Ordering::AcqRel);
    }

    /// Takes note of the first collective that goes on after its call.
    pub(crate) fn set_under_way(&self, first: Option<u64>) {
        self.shared
            .under_way
            .store(first.unwrap_or(0), Ordering::Release);
    }

    /// The last collective that was completed with all before it.
    pub(crate) fn completed(&self) -> u64 {
        let completed = self.shared.completed.load(Ordering::Acquire);
        match self.shared.under_way.load(Ordering::Acquire) {
            0 => completed,
            first => completed.min(first - 1),
        }
    }

    /// Takes note of what broke while no call was there to say it; the first stays.
    pub(crate) fn fail(&self, error: CollectiveError) {
        let _ = self.shared.failed.set(error);
    }

    /// Fails once the handle was aborted, or something broke outside a call.
    pub(crate) fn check(&self) -> Result<(), CollectiveError> {
        if let Some(error) = self.shared.failed.get() {
            return Err(error.again());
        }
        match self.shared.reason.get() {
            Some(reason) => Err(CollectiveError::Aborted {
                reason: reason.clone(),
            }),
            None => Ok(()),
        }
    }

    /// Lets no collective follow.
    pub(crate) fn poison(&self, cause: String) {
        let _ = self.shared.poisoned.set(cause);
    }

    /// What the first error said.
    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }
}
