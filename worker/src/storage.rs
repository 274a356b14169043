//! A directory in an object store, for code that blocks.

use crate::WorkerError;
use crate::checkpoint::hex;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use twinspan_data::{Directory, StoreError, Stores};

/// Longest wait for a store that is out or full: that is nobody's fault, and may pass.
pub const OUTAGE: Duration = Duration::from_secs(3600);

/// A file that can be opened by its path.
pub struct LocalFile {
    place: Place,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

enum Place {
    Own(PathBuf),
    Copy(tempfile::TempPath),
}

impl LocalFile {
    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        match &self.place {
            Place::Own(path) => path,
            Place::Copy(path) => path,
        }
    }
}

/// One directory, such as a run's or a checkpoint's.
pub struct Storage {
    runtime: Runtime,
    files: Directory,
}

impl Storage {
    /// Opens the directory at `url`; nothing is read or written yet.
    ///
    /// # Errors
    /// When the URL names no store that this build knows and can write to.
    pub fn open(url: &str) -> Result<Self, WorkerError> {
        Self::open_by(url, Directory::open)
    }

    /// Opens the directory at `url`, which may be on a web server, for reading.
    ///
    /// # Errors
    /// When the URL names no store that this build knows.
    pub fn open_to_read(url: &str) -> Result<Self, WorkerError> {
        Self::open_by(url, Directory::open_to_read)
    }

    fn open_by(
        url: &str,
        open: fn(&Stores, &str) -> Result<Directory, StoreError>,
    ) -> Result<Self, WorkerError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WorkerError::Runtime)?;
        let files = open(&Stores::default(), url)?;
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

    /// The path of a file that lies on this machine.
    #[must_use]
    pub fn local_path(&self, file: &str) -> Option<PathBuf> {
        self.files.local_path(file)
    }

    /// A file on this machine's disks, hashed: the file itself where it lies there, else a copy
    /// that goes with what is returned. It never lies in memory whole.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or there is no room for a copy.
    pub fn fetch(&self, file: &str) -> Result<LocalFile, WorkerError> {
        let mut hash = Sha256::new();
        if let Some(path) = self.local_path(file) {
            let bytes = self.take(file, |part| hash.update(part))?;
            return Ok(LocalFile {
                place: Place::Own(path),
                bytes,
                sha256: hex(hash),
            });
        }
        let folder = std::env::temp_dir();
        let copy_error = |source| WorkerError::Copy {
            url: self.url_of(file),
            folder: folder.clone(),
            source,
        };
        let mut copy = tempfile::NamedTempFile::new_in(&folder).map_err(copy_error)?;
        let mut written = Ok(());
        let bytes = self.take(file, |part| {
            hash.update(part);
            if written.is_ok() {
                written = copy.write_all(part);
            }
        })?;
        written.map_err(copy_error)?;
        Ok(LocalFile {
            place: Place::Copy(copy.into_temp_path()),
            bytes,
            sha256: hex(hash),
        })
    }

    /// Hands a file to `take` part by part; gives its size.
    fn take(&self, file: &str, take: impl FnMut(&[u8])) -> Result<u64, WorkerError> {
        let read = self.block_on(self.files.read_in_parts(file, take))?;
        read.ok_or_else(|| WorkerError::MissingFile {
            url: self.url_of(file),
        })
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
