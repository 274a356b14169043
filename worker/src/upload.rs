//! A checkpoint on its way into the store, beside the training.

use crate::WorkerError;
use crate::checkpoint::Snapshot;
use crate::clock::Clock;
use crate::storage::{OUTAGE, Storage};
use crate::trace::Telling;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use twinspan_session::{Commit, Committer};
use twinspan_types::{Part, Rank, SampleReason, SpanName, TraceKind};

/// Longest wait for a checkpoint's other parts once a rank's own are stored.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_secs(30);

/// Stores the parts, again and again while the store may come back and the generation goes on.
fn store(
    snapshot: &Snapshot,
    storage: &Storage,
    commit: &Commit,
    committer: &Committer,
    clock: &mut Clock<'_>,
) -> Result<Vec<Part>, WorkerError> {
    let begun = Instant::now();
    loop {
        match snapshot.store(storage, commit.name, clock) {
            Err(WorkerError::Store(error)) if error.may_pass() && begun.elapsed() < OUTAGE => {
                tracing::warn!(
                    "checkpoint {} is not stored yet: {error}; trying again for up to {OUTAGE:?}",
                    commit.name
                );
                std::thread::sleep(PAUSE);
                committer.check(commit)?;
            }
            stored => return stored,
        }
    }
}

/// A thread that stores a rank's parts and waits until the checkpoint exists. It outlives its
/// generation, which may end while the store is slow, and then ends by itself: what it has stored lies
/// in an attempt of its own.
pub struct Upload(JoinHandle<Result<(), WorkerError>>);

impl Upload {
    /// Stores the parts of `snapshot`, then has them committed.
    pub fn start(
        snapshot: Snapshot,
        commit: Commit,
        storage: Arc<Storage>,
        committer: Committer,
        (telling, rank): (Telling, Rank),
    ) -> Self {
        Self(std::thread::spawn(move || {
            let mut clock = Clock::new(None);
            let parts = store(&snapshot, &storage, &commit, &committer, &mut clock)?;
            // Until all parts are there and the record of them is in the log.
            clock.enter(SpanName::Commit);
            let committed = committer.commit(&commit, &parts, COMMIT_TIMEOUT);
            let kind = TraceKind::Checkpoint(commit.name.step);
            let reason = Some(SampleReason::Checkpoint);
            let trace = clock.lap(kind, commit.generation, reason);
            telling.tell(rank, &trace);
            committer.trace(trace);
            Ok(committed?)
        }))
    }

    /// Whether it has come to its end, a good or a bad one.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits until the checkpoint exists.
    ///
    /// # Errors
    /// It could not be stored or committed, or the generation is over.
    pub fn finish(self) -> Result<(), WorkerError> {
        self.0
            .join()
            .unwrap_or_else(|_| Err(WorkerError::Upload("its thread panicked".to_owned())))
    }
}
