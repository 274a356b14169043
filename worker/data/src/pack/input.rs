//! What shards are made of: a folder or a table.

use super::error::PackError;
use super::folder::Folder;
use super::pair::Pair;
use super::table::{Columns, CsvTable, ParquetTable};
use std::path::{Path, PathBuf};

/// Pairs in the input's order, which is the same every time.
pub(super) type Pairs<'i> = Box<dyn Iterator<Item = Result<Pair, PackError>> + 'i>;

/// Something that pictures and captions are found by.
#[derive(Debug)]
pub(super) enum Input {
    Folder(Folder),
    Csv(CsvTable),
    Parquet(ParquetTable),
}

impl Input {
    /// Looks at what was given; a folder's names are read here, a table's rows are not.
    pub(super) fn open(path: &Path, columns: &Columns) -> Result<Self, PackError> {
        let metadata = std::fs::metadata(path).map_err(|source| PackError::BadInput {
            input: path.to_owned(),
            reason: source.to_string(),
        })?;
        if metadata.is_dir() {
            return Folder::open(path).map(Self::Folder);
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_lowercase).as_deref() {
            Some("csv") => CsvTable::open(path, columns).map(Self::Csv),
            Some("parquet") => ParquetTable::open(path, columns).map(Self::Parquet),
            _ => Err(PackError::BadInput {
                input: path.to_owned(),
                reason: "it is none of what pictures are found by".to_owned(),
            }),
        }
    }

    /// How many pairs there are.
    pub(super) fn count(&self) -> Result<u64, PackError> {
        match self {
            Self::Folder(folder) => Ok(folder.pictures.len() as u64),
            // Only reading it tells; next to decoding the pictures that is nothing.
            Self::Csv(_) => self
                .pairs()?
                .try_fold(0, |count, pair| pair.map(|_| count + 1)),
            Self::Parquet(table) => Ok(table.rows),
        }
    }

    pub(super) fn pairs(&self) -> Result<Pairs<'_>, PackError> {
        match self {
            Self::Folder(folder) => Ok(Box::new(folder.pairs().map(Ok))),
            Self::Csv(table) => table.pairs(),
            Self::Parquet(table) => table.pairs(),
        }
    }

    /// Files that are part of no pair.
    pub(super) fn other_files(&self) -> u64 {
        match self {
            Self::Folder(folder) => folder.other_files,
            Self::Csv(_) | Self::Parquet(_) => 0,
        }
    }

    /// The error where there are no pairs.
    pub(super) fn is_empty(&self) -> PackError {
        let (input, reason): (&PathBuf, _) = match self {
            Self::Folder(folder) => (&folder.root, "no .jpg, .png, .jpeg or .webp lies below it"),
            Self::Csv(table) => (&table.file, "it has no rows"),
            Self::Parquet(table) => (&table.file, "it has no rows"),
        };
        PackError::BadInput {
            input: input.clone(),
            reason: reason.to_owned(),
        }
    }
}
