//! NumPy's format (version 1.0), and the keys of its rows in a text file beside it.

use super::partial::{Partial, write_error};
use super::{Kind, Space, VectorsError};
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

/// Bytes before the first number: room for any shape, and a multiple of 64, as NumPy aligns it.
const HEADER: usize = 128;

/// Writes `vectors.npy` and `vectors.keys.txt`.
#[derive(Debug)]
pub struct NpyWriter {
    file: PathBuf,
    keys_file: PathBuf,
    partial: Partial,
    keys_partial: Partial,
    rows: BufWriter<File>,
    keys: BufWriter<File>,
    count: usize,
    embed_dim: usize,
}

impl NpyWriter {
    pub(super) fn create(file: &Path, space: &Space) -> Result<Self, VectorsError> {
        let keys_file = file.with_extension("keys.txt");
        let (partial, rows) = Partial::create(file)?;
        let (keys_partial, keys) = Partial::create(&keys_file)?;
        let mut writer = Self {
            file: file.to_owned(),
            keys_file,
            partial,
            keys_partial,
            rows: BufWriter::new(rows),
            keys: BufWriter::new(keys),
            count: 0,
            embed_dim: space.embed_dim,
        };
        writer.header()?;
        Ok(writer)
    }

    /// A row, and a line `kind<tab>key`. A key's own tabs and line ends become spaces, so that line
    /// i stays row i.
    pub(super) fn push(
        &mut self,
        kind: Kind,
        key: &str,
        embedding: &[f32],
    ) -> Result<(), VectorsError> {
        for value in embedding {
            self.rows
                .write_all(&value.to_le_bytes())
                .map_err(|source| write_error(&self.file, source))?;
        }
        let key = key.replace(['\t', '\n', '\r'], " ");
        writeln!(self.keys, "{kind}\t{key}")
            .map_err(|source| write_error(&self.keys_file, source))?;
        self.count += 1;
        Ok(())
    }

    /// The keys come first: where the array stands, its keys do.
    pub(super) fn finish(mut self) -> Result<(), VectorsError> {
        self.rows
            .rewind()
            .map_err(|source| write_error(&self.file, source))?;
        self.header()?;
        let rows = whole(self.rows, &self.file)?;
        let keys = whole(self.keys, &self.keys_file)?;
        self.keys_partial.publish(&keys)?;
        self.partial.publish(&rows)
    }

    fn header(&mut self) -> Result<(), VectorsError> {
        self.rows
            .write_all(&header(self.count, self.embed_dim))
            .map_err(|source| write_error(&self.file, source))
    }
}

fn whole(buffered: BufWriter<File>, file: &Path) -> Result<File, VectorsError> {
    buffered
        .into_inner()
        .map_err(|error| write_error(file, error.into_error()))
}

/// The header of a float32 array [rows, columns].
fn header(rows: usize, columns: usize) -> Vec<u8> {
    let shape =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    let text = HEADER - header.len() - 2;
    header.extend((text as u16).to_le_bytes());
    header.extend(format!("{shape:<width$}\n", width = text - 1).bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_of_any_shape_has_the_same_length_and_says_so() {
        for (rows, columns) in [(0, 1), (3, 512), (usize::MAX, usize::MAX)] {
            let header = header(rows, columns);
            assert_eq!(header.len(), HEADER);
            assert_eq!(u16::from_le_bytes([header[8], header[9]]), 118);
            assert_eq!(header[HEADER - 1], b'\n');
            let shape = format!("'shape': ({rows}, {columns}), }}");
            assert!(String::from_utf8_lossy(&header).contains(&shape));
        }
    }
}
