//! What a proxy has done so far.

use super::Fault;
use std::sync::{Mutex, PoisonError};

/// How many connections came, and how many faults of each kind were inflicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that clients made, refused ones with them.
    pub connections: u64,
    /// Connections for which the server could not be reached: no fault of the
    /// plan; the client sees a reset.
    pub unreachable: u64,
    /// [`Fault::Refuse`].
    pub refused: u64,
    /// [`Fault::Reset`].
    pub reset: u64,
    /// [`Fault::Truncate`].
    pub truncated: u64,
    /// [`Fault::Delay`].
    pub delayed: u64,
    /// [`Fault::Stall`].
    pub stalled: u64,
}

impl Counts {
    /// All faults that the plan inflicted.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.refused + self.reset + self.truncated + self.delayed + self.stalled
    }
}

/// The counts as the proxy's thread and its owner share them.
#[derive(Debug, Default)]
pub(super) struct Stats {
    counts: Mutex<Counts>,
}

impl Stats {
    pub(super) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection and gives its number, from 0.
    pub(super) fn connection(&self) -> u64 {
        self.update(|counts| counts.connections += 1).connections - 1
    }

    pub(super) fn unreachable(&self) {
        self.update(|counts| counts.unreachable += 1);
    }

    pub(super) fn count(&self, fault: Fault) {
        self.update(|counts| match fault {
            Fault::Refuse => counts.refused += 1,
            Fault::Reset => counts.reset += 1,
            Fault::Truncate => counts.truncated += 1,
            Fault::Delay(_) => counts.delayed += 1,
            Fault::Stall(_) => counts.stalled += 1,
        });
    }

    fn update(&self, change: impl FnOnce(&mut Counts)) -> Counts {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        *counts
    }
}
