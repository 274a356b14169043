//! Why vectors cannot be written or read.

use ::parquet::errors::ParquetError;
use std::path::PathBuf;

/// Why vectors cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// A place that no vectors can be written to; nothing was written.
    #[error("{file}: {reason}", file = file.display())]
    BadOut {
        /// What was given.
        file: PathBuf,
        /// What is wrong with it, and what it should be.
        reason: String,
    },
    /// The system refuses to write.
    #[error("{file} cannot be written: {source}", file = file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Parquet cannot be put together.
    #[error("{file} cannot be written: {source}", file = file.display())]
    WriteParquet {
        /// The file.
        file: PathBuf,
        /// Its words.
        source: ParquetError,
    },
    /// A file that cannot be opened.
    #[error("{file} cannot be read: {source}", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A file that holds no vectors, or broken ones.
    #[error(
        "{file}: {reason}: give a .parquet file that `twinspan embed` wrote, or write it again",
        file = file.display()
    )]
    NotVectors {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Vectors that cannot be compared with the model's.
    #[error(
        "{file} holds vectors of another model ({theirs}) than this checkpoint's ({ours}): embed \
         the pictures again with this checkpoint, or search with the one that embedded them",
        file = file.display()
    )]
    OtherModel {
        /// The file.
        file: PathBuf,
        /// Width and fingerprint of the file's.
        theirs: String,
        /// Width and fingerprint of the checkpoint's.
        ours: String,
    },
}

impl VectorsError {
    /// Whether what was given is at fault, and nothing was written.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Self::Write { .. } | Self::WriteParquet { .. })
    }
}
