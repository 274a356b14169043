//! A checkpoint on its way into the store, beside the training.

use crate::WorkerError;
use crate::checkpoint::Snapshot;
use crate::storage::Storage;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use twinspan_session::{Commit, Committer};

/// Longest wait for a checkpoint's other parts once a rank's own are stored.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(300);

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
    ) -> Self {
        Self(std::thread::spawn(move || {
            let parts = snapshot.store(&storage, commit.name)?;
            committer.commit(&commit, &parts, COMMIT_TIMEOUT)?;
            Ok(())
        }))
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
