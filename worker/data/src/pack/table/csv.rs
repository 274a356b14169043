//! A table as comma-separated text with the columns' names in its first line.

use super::{Columns, pair};
use crate::pack::error::PackError;
use crate::pack::input::Pairs;
use ::csv::{Reader, StringRecord};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A `.csv` file.
#[derive(Debug)]
pub(in crate::pack) struct CsvTable {
    pub(in crate::pack) file: PathBuf,
    image: usize,
    caption: usize,
}

impl CsvTable {
    pub(in crate::pack) fn open(file: &Path, columns: &Columns) -> Result<Self, PackError> {
        let mut reader = reader(file)?;
        let names = reader.headers().map_err(|error| broken(file, &error))?;
        let names: Vec<String> = names.iter().map(str::to_owned).collect();
        let (image, caption) = columns.find(file, &names)?;
        Ok(Self {
            file: file.to_owned(),
            image,
            caption,
        })
    }

    pub(in crate::pack) fn pairs(&self) -> Result<Pairs<'_>, PackError> {
        let records = reader(&self.file)?.into_records();
        Ok(Box::new(records.map(|record| {
            let record: StringRecord = record.map_err(|error| broken(&self.file, &error))?;
            let line = record.position().map_or(0, ::csv::Position::line);
            let text = |column| record.get(column).unwrap_or_default();
            let row = format!("line {line}");
            Ok(pair(&self.file, &row, text(self.image), text(self.caption)))
        })))
    }
}

fn reader(file: &Path) -> Result<Reader<File>, PackError> {
    Reader::from_path(file).map_err(|error| broken(file, &error))
}

fn broken(file: &Path, error: &::csv::Error) -> PackError {
    PackError::BadTable {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}
