//! A directory in an object store, for code that blocks.

use crate::WorkerError;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// One directory, such as a run's or a checkpoint's.
pub struct Storage {
    runtime: Runtime,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl Storage {
    /// Opens the directory at `url`; nothing is read or written yet.
    ///
    /// # Errors
    /// When the URL names no store that this build knows.
    pub fn open(url: &str) -> Result<Self, WorkerError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| WorkerError::Storage {
            url: url.to_owned(),
            source,
        };
        let (store, prefix) = twinspan_data::store::open(url).map_err(|e| failed(Box::new(e)))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| failed(Box::new(e)))?;
        Ok(Self {
            runtime,
            store,
            prefix,
            url: url.trim_end_matches('/').to_owned(),
        })
    }

    /// The URL of a file in it.
    #[must_use]
    pub fn url_of(&self, file: &str) -> String {
        format!("{}/{file}", self.url)
    }

    /// A whole file.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn read(&self, file: &str) -> Result<Bytes, WorkerError> {
        let path = self.path(file);
        self.runtime
            .block_on(async { self.store.get(&path).await?.bytes().await })
            .map_err(|source| self.failed(file, source))
    }

    /// A whole file, or none where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read_if_present(&self, file: &str) -> Result<Option<Bytes>, WorkerError> {
        let path = self.path(file);
        let read = self
            .runtime
            .block_on(async { self.store.get(&path).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(file, source)),
        }
    }

    /// Writes a whole file.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn write(&self, file: &str, bytes: Bytes) -> Result<(), WorkerError> {
        let path = self.path(file);
        self.runtime
            .block_on(self.store.put(&path, PutPayload::from_bytes(bytes)))
            .map(|_| ())
            .map_err(|source| self.failed(file, source))
    }

    fn path(&self, file: &str) -> Path {
        file.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn failed(&self, file: &str, source: object_store::Error) -> WorkerError {
        WorkerError::Storage {
            url: self.url_of(file),
            source: Box::new(source),
        }
    }
}
