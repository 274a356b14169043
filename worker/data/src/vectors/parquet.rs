//! Vectors as Parquet: `key` and `kind` as text, `embedding` as a list of `embed_dim` float32.

use super::partial::{Partial, write_error};
use super::{EMBED_DIM, Kind, MODEL, Space, VectorsError};
use ::parquet::basic::Compression;
use ::parquet::column::writer::ColumnWriterImpl;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType};
use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::ColumnPath;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are in memory at once, and of a row group: 16 MiB at a width of 512.
pub(super) const GROUP: usize = 8192;

const SCHEMA: &str = "
message vectors {
  required binary key (STRING);
  required binary kind (STRING);
  required group embedding (LIST) { repeated group list { required float element; } }
}";

/// Where Arrow's readers look for what Parquet's types do not say, here that lists are of one
/// length. `arrow_schema.bin` is what pyarrow's `Schema.serialize()` gives for `SCHEMA` with lists
/// of length 1.
const ARROW_KEY: &str = "ARROW:schema";
const ARROW_SCHEMA: &[u8] = include_bytes!("arrow_schema.bin");
/// The place of the lists' length in it: an i32.
const ARROW_LENGTH: usize = 120;

/// Writes `vectors.parquet`.
pub struct ParquetWriter {
    file: PathBuf,
    partial: Partial,
    writer: SerializedFileWriter<File>,
    keys: Vec<ByteArray>,
    kinds: Vec<ByteArray>,
    /// [rows, embed_dim], row by row.
    values: Vec<f32>,
    embed_dim: usize,
}

impl fmt::Debug for ParquetWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParquetWriter")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

impl ParquetWriter {
    pub(super) fn create(file: &Path, space: &Space) -> Result<Self, VectorsError> {
        let (partial, open) = Partial::create(file)?;
        let schema = parse_message_type(SCHEMA).map_err(|source| failed(file, source))?;
        let writer = SerializedFileWriter::new(open, Arc::new(schema), Arc::new(properties(space)));
        Ok(Self {
            file: file.to_owned(),
            partial,
            writer: writer.map_err(|source| failed(file, source))?,
            keys: Vec::new(),
            kinds: Vec::new(),
            values: Vec::new(),
            embed_dim: space.embed_dim,
        })
    }

    pub(super) fn push(
        &mut self,
        kind: Kind,
        key: &str,
        embedding: &[f32],
    ) -> Result<(), VectorsError> {
        self.keys.push(key.into());
        self.kinds.push(kind.as_str().into());
        self.values.extend(embedding);
        match self.keys.len() == GROUP {
            true => self.group(),
            false => Ok(()),
        }
    }

    pub(super) fn finish(mut self) -> Result<(), VectorsError> {
        if !self.keys.is_empty() {
            self.group()?;
        }
        let file = self.file;
        let written = self.writer.into_inner();
        let written = written.map_err(|source| failed(&file, source))?;
        self.partial.publish(&written)
    }

    fn group(&mut self) -> Result<(), VectorsError> {
        let mut write = || -> Result<(), ParquetError> {
            let mut group = self.writer.next_row_group()?;
            column::<ByteArrayType>(&mut group, |column| {
                column.write_batch(&self.keys, None, None)
            })?;
            column::<ByteArrayType>(&mut group, |column| {
                column.write_batch(&self.kinds, None, None)
            })?;
            // A list begins where the repetition level is 0; a definition level of 1 is a value.
            let values = 0..self.values.len();
            let begins: Vec<i16> = values
                .map(|at| i16::from(at % self.embed_dim != 0))
                .collect();
            let defined = vec![1; self.values.len()];
            column::<FloatType>(&mut group, |column| {
                column.write_batch(&self.values, Some(&defined), Some(&begins))
            })?;
            group.close().map(drop)
        };
        write().map_err(|source| failed(&self.file, source))?;
        self.keys.clear();
        self.kinds.clear();
        self.values.clear();
        Ok(())
    }
}

/// Writes the next column of a group.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<usize, ParquetError>,
) -> Result<(), ParquetError> {
    let next = group.next_column()?;
    let mut column = next.ok_or_else(|| ParquetError::General("too many columns".to_owned()))?;
    write(column.typed::<T>())?;
    column.close()
}

/// Numbers do not compress, have no use for a dictionary, and nobody asks for their bounds.
fn properties(space: &Space) -> WriterProperties {
    let embedding = ColumnPath::new(["embedding", "list", "element"].map(str::to_owned).to_vec());
    let metadata = [
        (MODEL, space.model.clone()),
        (EMBED_DIM, space.embed_dim.to_string()),
        (ARROW_KEY, arrow_schema(space.embed_dim)),
    ];
    let metadata = metadata.map(|(key, value)| KeyValue::new(key.to_owned(), value));
    WriterProperties::builder()
        .set_key_value_metadata(Some(metadata.to_vec()))
        .set_compression(Compression::SNAPPY)
        .set_column_compression(embedding.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(embedding.clone(), false)
        .set_column_statistics_enabled(embedding, EnabledStatistics::None)
        .build()
}

fn arrow_schema(embed_dim: usize) -> String {
    let mut schema = ARROW_SCHEMA.to_vec();
    schema[ARROW_LENGTH..][..4].copy_from_slice(&(embed_dim as i32).to_le_bytes());
    BASE64_STANDARD.encode(schema)
}

/// The system's own refusals are told as such.
fn failed(file: &Path, source: ParquetError) -> VectorsError {
    let source = match source {
        ParquetError::External(source) => match source.downcast::<std::io::Error>() {
            Ok(source) => return write_error(file, *source),
            Err(source) => ParquetError::External(source),
        },
        source => source,
    };
    VectorsError::WriteParquet {
        file: file.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arrow_schema_says_how_long_the_lists_are() {
        assert_eq!(ARROW_SCHEMA[ARROW_LENGTH..][..4], 1_i32.to_le_bytes());
        let schema = BASE64_STANDARD.decode(arrow_schema(512)).expect("base64");
        assert_eq!(schema[ARROW_LENGTH..][..4], 512_i32.to_le_bytes());
        assert_eq!(schema.len(), ARROW_SCHEMA.len());
    }
}
