//! Why shards cannot be made.

use super::pair::Bad;
use crate::store::StoreError;
use std::path::PathBuf;

/// Why shards cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The input is nothing that pictures are found by.
    #[error(
        "{input}: {reason}: give a folder of pictures with a .txt beside each, or a .csv or \
         .parquet file of picture paths and captions",
        input = input.display()
    )]
    BadInput {
        /// What was given.
        input: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder or table that cannot be read.
    #[error("{path} cannot be read: {source}", path = path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// A table that is broken.
    #[error("{file}: {reason}: correct the file", file = file.display())]
    BadTable {
        /// The file.
        file: PathBuf,
        /// Where it is broken and how.
        reason: String,
    },
    /// A table without a column of that name that holds text.
    #[error(
        "{file} has no column {column:?} of text ({option} names it); its columns of text are {}",
        columns.join(", "),
        file = file.display()
    )]
    NoColumn {
        /// The file.
        file: PathBuf,
        /// The column.
        column: String,
        /// The option that names it.
        option: &'static str,
        /// The columns that there are.
        columns: Vec<String>,
    },
    /// Samples that training could not use.
    #[error("{}", list(input, *count, first))]
    Unusable {
        /// What was given.
        input: PathBuf,
        /// How many there are.
        count: u64,
        /// The first of them.
        first: Vec<Bad>,
    },
    /// Shards or their counts lie where the new ones should.
    #[error(
        "{out} holds {} already{}: choose another folder, or replace them with --overwrite",
        present[0],
        more(present)
    )]
    Occupied {
        /// The folder.
        out: String,
        /// What lies there.
        present: Vec<String>,
    },
    /// A file that was good when it was checked.
    #[error("{0}: the file changed while shards were made: run again with --overwrite")]
    Changed(Bad),
    /// The place for the shards cannot be used; nothing was written.
    #[error(transparent)]
    Out(StoreError),
    /// A shard cannot be put together.
    #[error("the shard {shard} cannot be put together: {source}")]
    Archive {
        /// The shard.
        shard: String,
        /// The archiver's words.
        source: std::io::Error,
    },
    /// The store failed when something was written.
    #[error("{source}; {shards} whole shards were written before: run again with --overwrite")]
    Write {
        /// Shards that were written.
        shards: u64,
        /// The store's words.
        source: StoreError,
    },
}

impl PackError {
    /// Whether what was given is at fault, and nothing was written.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Out(error) => error.is_bad_input(),
            Self::Changed(_) | Self::Archive { .. } | Self::Write { .. } => false,
            _ => true,
        }
    }
}

fn more(present: &[String]) -> String {
    match present.len() {
        1 => String::new(),
        count => format!(", and {} more files of shards", count - 1),
    }
}

fn list(input: &std::path::Path, count: u64, first: &[Bad]) -> String {
    let mut text = format!(
        "{}: {count} samples cannot be used; correct them, or leave them out with --skip-bad",
        input.display()
    );
    for bad in first {
        text.push_str(&format!("\n  {bad}"));
    }
    if count > first.len() as u64 {
        text.push_str(&format!("\n  and {} more", count - first.len() as u64));
    }
    text
}
