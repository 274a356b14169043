//! Reads vectors back, a row group at a time.

use super::{EMBED_DIM, Kind, MODEL, Space, VectorsError};
use ::parquet::column::reader::get_typed_column_reader;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use std::fs::File;
use std::path::{Path, PathBuf};

/// A `.parquet` file that `twinspan embed` wrote.
pub struct VectorReader {
    file: PathBuf,
    reader: SerializedFileReader<File>,
    space: Space,
    next: usize,
}

/// Some of its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorGroup {
    /// Paths, webdataset keys or texts.
    pub keys: Vec<String>,
    /// What each is.
    pub kinds: Vec<Kind>,
    /// [rows, embed_dim], row by row.
    pub values: Vec<f32>,
}

impl VectorReader {
    /// Opens a file whose vectors are a model's.
    ///
    /// # Errors
    /// When it cannot be read, holds no vectors, or those of another model.
    pub fn open(file: &Path, model: &Space) -> Result<Self, VectorsError> {
        let open = File::open(file).map_err(|source| VectorsError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let reader = SerializedFileReader::new(open).map_err(|error| broken(file, error))?;
        let space = space(&reader).ok_or_else(|| {
            broken(
                file,
                format!(
                    "its metadata has no {MODEL} and {EMBED_DIM}, which say whose vectors it holds"
                ),
            )
        })?;
        if space != *model {
            let told = |space: &Space| {
                let model: String = space.model.chars().take(12).collect();
                format!("width {}, fingerprint {model}...", space.embed_dim)
            };
            return Err(VectorsError::OtherModel {
                file: file.to_owned(),
                theirs: told(&space),
                ours: told(model),
            });
        }
        Ok(Self {
            file: file.to_owned(),
            reader,
            space,
            next: 0,
        })
    }

    /// The next rows, or nothing at the end.
    ///
    /// # Errors
    /// When the file is broken.
    pub fn next_group(&mut self) -> Result<Option<VectorGroup>, VectorsError> {
        if self.next == self.reader.num_row_groups() {
            return Ok(None);
        }
        let group = self.reader.get_row_group(self.next);
        let group = group.and_then(|group| columns(group.as_ref()));
        let (keys, kinds, values) = group.map_err(|error| broken(&self.file, error))?;
        self.next += 1;
        let kinds: Option<Vec<Kind>> = kinds.iter().map(|kind| Kind::of(kind.data())).collect();
        match kinds {
            Some(kinds) if values.len() == keys.len() * self.space.embed_dim => {
                let keys = keys.iter();
                Ok(Some(VectorGroup {
                    keys: keys
                        .map(|key| String::from_utf8_lossy(key.data()).into_owned())
                        .collect(),
                    kinds,
                    values,
                }))
            }
            _ => Err(broken(
                &self.file,
                format!("row group {} is not as its metadata says", self.next - 1),
            )),
        }
    }
}

fn space(reader: &SerializedFileReader<File>) -> Option<Space> {
    let metadata = reader.metadata().file_metadata().key_value_metadata()?;
    let value = |key: &str| {
        let found = metadata.iter().find(|entry| entry.key == key)?;
        found.value.clone()
    };
    Some(Space {
        model: value(MODEL)?,
        embed_dim: value(EMBED_DIM)?.parse().ok()?,
    })
}

type Columns = (Vec<ByteArray>, Vec<ByteArray>, Vec<f32>);

fn columns(group: &dyn RowGroupReader) -> Result<Columns, ParquetError> {
    Ok((
        column::<ByteArrayType>(group, 0)?,
        column::<ByteArrayType>(group, 1)?,
        column::<FloatType>(group, 2)?,
    ))
}

/// All values of a column that is named as it is written; another file's types may be any.
fn column<T: DataType>(group: &dyn RowGroupReader, at: usize) -> Result<Vec<T::T>, ParquetError> {
    let schema = group.metadata().schema_descr();
    let wanted = ["key", "kind", "embedding"][at];
    let found = (at < schema.num_columns()).then(|| schema.column(at));
    let fits = found.is_some_and(|column| {
        column.physical_type() == T::get_physical_type()
            && column
                .path()
                .parts()
                .first()
                .is_some_and(|name| name == wanted)
    });
    if !fits {
        return Err(ParquetError::General(format!(
            "its column {} is not {wanted:?}",
            at + 1
        )));
    }
    let rows = group.metadata().num_rows();
    let rows = usize::try_from(rows).unwrap_or_default();
    let mut reader = get_typed_column_reader::<T>(group.get_column_reader(at)?);
    let (mut values, mut defined, mut begins) = (Vec::new(), Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut defined), Some(&mut begins), &mut values)?;
    Ok(values)
}

fn broken(file: &Path, reason: impl ToString) -> VectorsError {
    VectorsError::NotVectors {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}
