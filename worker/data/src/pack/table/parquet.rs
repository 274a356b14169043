//! A table as Parquet.

use super::{Columns, pair};
use crate::pack::error::PackError;
use crate::pack::input::Pairs;
use ::parquet::basic::{Compression, Type as Physical};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::RowIter;
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::{Type, TypePtr};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A `.parquet` file.
#[derive(Debug)]
pub(in crate::pack) struct ParquetTable {
    pub(in crate::pack) file: PathBuf,
    pub(in crate::pack) rows: u64,
    /// The two columns alone: the others are not read.
    schema: Type,
    columns: Columns,
}

impl ParquetTable {
    pub(in crate::pack) fn open(file: &Path, columns: &Columns) -> Result<Self, PackError> {
        let reader = reader(file)?;
        let metadata = reader.metadata().file_metadata();
        let is_text = |field: &&TypePtr| {
            field.is_primitive() && field.get_physical_type() == Physical::BYTE_ARRAY
        };
        let texts: Vec<&TypePtr> = metadata
            .schema()
            .get_fields()
            .iter()
            .filter(is_text)
            .collect();
        let names: Vec<String> = texts.iter().map(|field| field.name().to_owned()).collect();
        let (image, caption) = columns.find(file, &names)?;
        let mut wanted = vec![TypePtr::clone(texts[image]), TypePtr::clone(texts[caption])];
        wanted.dedup();
        check_compression(file, reader.metadata(), columns)?;
        let schema = Type::group_type_builder(metadata.schema().name()).with_fields(wanted);
        Ok(Self {
            file: file.to_owned(),
            rows: u64::try_from(metadata.num_rows()).unwrap_or_default(),
            schema: schema.build().map_err(|error| broken(file, &error))?,
            columns: columns.clone(),
        })
    }

    pub(in crate::pack) fn pairs(&self) -> Result<Pairs<'_>, PackError> {
        let rows = RowIter::from_file_into(Box::new(reader(&self.file)?));
        let rows = rows.project(Some(self.schema.clone()));
        let rows = rows.map_err(|error| broken(&self.file, &error))?;
        Ok(Box::new((1..).zip(rows).map(|(number, row)| {
            let row = row.map_err(|error| broken(&self.file, &error))?;
            let text = |column| self.text(&row, column, number);
            let (image, caption) = (text(&self.columns.image)?, text(&self.columns.caption)?);
            Ok(pair(&self.file, &format!("row {number}"), image, caption))
        })))
    }

    /// The text of a column; nothing is an empty text.
    fn text<'r>(&self, row: &'r Row, column: &str, number: u64) -> Result<&'r str, PackError> {
        let field = row.get_column_iter().find(|(name, _)| *name == column);
        let text = match field {
            Some((_, Field::Str(text))) => Some(text.as_str()),
            Some((_, Field::Bytes(bytes))) => std::str::from_utf8(bytes.data()).ok(),
            Some((_, Field::Null)) => Some(""),
            _ => None,
        };
        text.ok_or_else(|| PackError::BadTable {
            file: self.file.clone(),
            reason: format!("row {number}: the column {column:?} is not UTF-8"),
        })
    }
}

/// Only the usual compressions are built in.
fn check_compression(
    file: &Path,
    metadata: &ParquetMetaData,
    columns: &Columns,
) -> Result<(), PackError> {
    let chunks = metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns());
    for chunk in chunks {
        let name = chunk.column_path().string();
        let is_known = matches!(
            chunk.compression(),
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_)
        );
        if !is_known && (name == columns.image || name == columns.caption) {
            return Err(PackError::BadTable {
                file: file.to_owned(),
                reason: format!(
                    "the column {name:?} is compressed as {}; write it as Snappy, Zstandard or \
                     uncompressed",
                    chunk.compression()
                ),
            });
        }
    }
    Ok(())
}

fn reader(file: &Path) -> Result<SerializedFileReader<File>, PackError> {
    let open = File::open(file).map_err(|source| PackError::Unreadable {
        path: file.to_owned(),
        source,
    })?;
    SerializedFileReader::new(open).map_err(|error| broken(file, &error))
}

fn broken(file: &Path, error: &ParquetError) -> PackError {
    PackError::BadTable {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}
