//! A directory in an object store, for code that blocks.

use crate::WorkerError;
use bytes::Bytes;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use twinspan_data::{Directory, StoreError, Stores};

/// Longest wait for a store that is out or full: that is nobody's fault, and may pass.
pub const OUTAGE: Duration = Duration::from_secs(3600);

/// One directory, such as a run's or a checkpoint's.
pub struct Storage {
    runtime: Runtime,
    files: Directory,
}

impl Storage {
    /// Opens the directory at `url`; nothing is read or written yet.
    ///
    /// # Errors
    /// When the URL names no store that this build knows.
    pub fn open(url: &str) -> Result<Self, WorkerError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WorkerError::Runtime)?;
        let files = Directory::open(&Stores::default(), url)?;
        Ok(Self { runtime, files })
    }

    /// The URL of a file in it.
    #[must_use]
    pub fn url_of(&self, file: &str) -> String {
        self.files.url_of(file)
    }

    /// A whole file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read(&self, file: &str) -> Result<Bytes, WorkerError> {
        self.read_if_present(file)?
            .ok_or_else(|| WorkerError::MissingFile {
                url: self.url_of(file),
            })
    }

    /// A whole file, or none where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_if_present(&self, file: &str) -> Result<Option<Bytes>, WorkerError> {
        Ok(self.block_on(self.files.read(file))?)
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn has(&self, file: &str) -> Result<bool, WorkerError> {
        Ok(self.block_on(self.files.size(file))?.is_some())
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn write(&self, file: &str, bytes: Bytes) -> Result<(), WorkerError> {
        Ok(self.block_on(self.files.write(file, bytes))?)
    }

    fn block_on<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.runtime.block_on(work)
    }
}
