//! Where vectors are written to, by the file's extension.

use super::npy::NpyWriter;
use super::parquet::ParquetWriter;
use super::{Kind, Space, VectorsError};
use std::path::{Path, PathBuf};

/// A place for vectors that is known to be usable.
#[derive(Debug)]
pub struct VectorFile {
    file: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Parquet,
    Npy,
}

impl VectorFile {
    /// The place at `file`: `.parquet` or `.npy`, in a folder that exists. Nothing is written yet.
    ///
    /// # Errors
    /// When it has another extension, or its folder does not exist.
    pub fn at(file: &Path) -> Result<Self, VectorsError> {
        let bad = |reason: &str| VectorsError::BadOut {
            file: file.to_owned(),
            reason: reason.to_owned(),
        };
        if file.to_string_lossy().contains("://") {
            return Err(bad(
                "vectors are written to this machine: give a path, and copy the file from there",
            ));
        }
        let extension = file.extension().and_then(|extension| extension.to_str());
        let format = match extension {
            Some("parquet") => Format::Parquet,
            Some("npy") => Format::Npy,
            _ => {
                return Err(bad(
                    "vectors are written as .parquet or .npy: end the name so",
                ));
            }
        };
        let folder = match file.parent() {
            Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
            folder => folder.unwrap_or(Path::new(".")),
        };
        if !folder.is_dir() {
            return Err(bad("its folder does not exist: make it first"));
        }
        if file.is_dir() {
            return Err(bad("it is a folder: name a file in it"));
        }
        Ok(Self {
            file: file.to_owned(),
            format,
        })
    }

    /// Begins to write vectors.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn writer(&self, space: &Space) -> Result<VectorWriter, VectorsError> {
        Ok(match self.format {
            Format::Parquet => VectorWriter::Parquet(ParquetWriter::create(&self.file, space)?),
            Format::Npy => VectorWriter::Npy(NpyWriter::create(&self.file, space)?),
        })
    }
}

/// Writes vectors. The file appears when it is finished; dropped before that, nothing is left.
#[derive(Debug)]
pub enum VectorWriter {
    /// Columns `key`, `kind` and `embedding`.
    Parquet(ParquetWriter),
    /// float32 [N, D], and the keys in a file beside it.
    Npy(NpyWriter),
}

impl VectorWriter {
    /// The next vector, `embed_dim` wide.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn push(&mut self, kind: Kind, key: &str, embedding: &[f32]) -> Result<(), VectorsError> {
        match self {
            Self::Parquet(writer) => writer.push(kind, key, embedding),
            Self::Npy(writer) => writer.push(kind, key, embedding),
        }
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// When the system refuses; then nothing is left.
    pub fn finish(self) -> Result<(), VectorsError> {
        match self {
            Self::Parquet(writer) => writer.finish(),
            Self::Npy(writer) => writer.finish(),
        }
    }
}
