//! What all simulated machines share: the object store, and a book of what happened.

use crate::state::State;
use bytes::Bytes;
use object_store::memory::InMemory;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use twinspan_data::Directory;
use twinspan_types::{CheckpointName, Manifest};

/// The store's time for one part of a checkpoint.
const PART: Duration = Duration::from_millis(15);

/// The store and the book.
#[derive(Clone)]
pub struct Surroundings {
    /// Decides everything.
    pub seed: u64,
    /// The run's files.
    pub files: Directory,
    book: Arc<Mutex<Vec<String>>>,
}

impl Surroundings {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let store = Arc::new(InMemory::new());
        Self {
            seed,
            files: Directory::over(store, "runs/sim", "memory://runs/sim"),
            book: Arc::default(),
        }
    }

    /// Writes down what happened on a machine, with the simulation's time.
    pub fn note(&self, host: &str, text: String) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        let line = format!("{:9.3} {host}: {text}", at.as_secs_f64());
        self.lock().push(line);
    }

    /// All that was written down.
    #[must_use]
    pub fn book(&self) -> Vec<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores a part of a checkpoint, which takes a while: a machine may die in the middle.
    pub async fn store_part(&self, name: CheckpointName, file: &str, bytes: &[u8]) {
        sleep(PART).await;
        let path = format!("{}/{file}", name.directory());
        let stored = self.files.write(&path, Bytes::copy_from_slice(bytes)).await;
        if let Err(error) = stored {
            self.note("store", error.to_string());
        }
    }

    /// The state in a checkpoint.
    ///
    /// # Errors
    /// The file's name, when it is not there or cannot be read.
    pub async fn restore(&self, directory: &str) -> Result<State, String> {
        let path = format!("{directory}/{}", Manifest::MODEL_FILE);
        let bytes = self
            .files
            .read(&path)
            .await
            .map_err(|error| error.to_string())?;
        let bytes = bytes.ok_or_else(|| format!("{path} is missing"))?;
        serde_json::from_slice(&bytes).map_err(|error| format!("{path}: {error}"))
    }
}
