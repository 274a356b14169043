//! Tables with a column of picture paths and one of captions.

mod csv;
mod parquet;

pub(super) use csv::CsvTable;
pub(super) use parquet::ParquetTable;

use super::error::PackError;
use super::pair::{Pair, Words};
use std::path::{Path, PathBuf};

/// Which columns of a table say what.
#[derive(Debug, Clone)]
pub struct Columns {
    /// Paths of pictures, from the table's folder.
    pub image: String,
    /// Captions.
    pub caption: String,
}

impl Columns {
    /// The places of both among columns of text.
    fn find(&self, file: &Path, columns: &[String]) -> Result<(usize, usize), PackError> {
        let find = |wanted: &String, option| {
            let place = columns.iter().position(|column| column == wanted);
            place.ok_or_else(|| PackError::NoColumn {
                file: file.to_owned(),
                column: wanted.clone(),
                option,
                columns: columns.to_vec(),
            })
        };
        Ok((
            find(&self.image, "--image-column")?,
            find(&self.caption, "--caption-column")?,
        ))
    }
}

/// The pair of one row.
fn pair(file: &Path, row: &str, image: &str, caption: &str) -> Pair {
    let folder = file.parent().unwrap_or(Path::new(""));
    let picture = match image {
        "" => PathBuf::new(),
        image => folder.join(image),
    };
    Pair {
        place: format!("{row} ({image})"),
        picture,
        caption: Words::Text(caption.to_owned()),
    }
}
