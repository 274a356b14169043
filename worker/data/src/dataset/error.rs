//! Why an evaluation set cannot be used.

use crate::index::IndexBuildError;
use crate::pictures::PassedOver;
use crate::store::StoreError;
use crate::tar::TarError;

/// Why an evaluation set cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// The URL cannot be taken apart.
    #[error("{url}: {reason}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of the layout is not there.
    #[error("{url} does not exist: {role}; put it there, or correct the set's URL")]
    MissingFile {
        /// Where it should lie.
        url: String,
        /// What it is for.
        role: &'static str,
    },
    /// A line of one of the layout's files.
    #[error("{url}, line {line}: {reason}")]
    BadLine {
        /// The file.
        url: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong, and what it should be.
        reason: String,
    },
    /// Names for another number of classes than there are folders.
    #[error(
        "{names_in} names {names} classes, and {root} holds {folders} folders of pictures: one line \
         for each folder, in the order of the folders' names"
    )]
    ClassCount {
        /// The file of names.
        names_in: String,
        /// Its lines.
        names: usize,
        /// The set.
        root: String,
        /// Its folders with pictures.
        folders: usize,
    },
    /// Neither folders of classes nor shards.
    #[error(
        "{url} holds neither pictures in a folder for each class nor .tar files: check the set's URL"
    )]
    NoLabelledSet {
        /// The set.
        url: String,
    },
    /// A label that names no class.
    #[error("sample {key} of {url}: {reason}: correct {key}.cls or classnames.txt")]
    BadLabel {
        /// The shard.
        url: String,
        /// The sample.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A set of which nothing can be used.
    #[error(
        "{url} holds no sample that can be used{why}: name another set, or correct this one",
        why = why(*passed_over, first.as_ref())
    )]
    Empty {
        /// The set.
        url: String,
        /// Samples that could not be used.
        passed_over: usize,
        /// One of them.
        first: Option<PassedOver>,
    },
    /// A shard that cannot be read to its end.
    #[error("the shard {url} cannot be read: {source}: fetch it again")]
    BadShard {
        /// The shard.
        url: String,
        /// What is wrong.
        source: TarError,
    },
    /// The shards cannot be found.
    #[error(transparent)]
    Shards(#[from] IndexBuildError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn why(passed_over: usize, first: Option<&PassedOver>) -> String {
    match first {
        Some(PassedOver { key, reason }) => {
            format!(" ({passed_over} were passed over, such as {key}: {reason})")
        }
        None => String::new(),
    }
}

impl EvalError {
    /// Of a shard that cannot be read on.
    pub(crate) fn of_shard(url: &str, error: TarError) -> Self {
        match error {
            TarError::Store(error) => error.into(),
            source => Self::BadShard {
                url: url.to_owned(),
                source,
            },
        }
    }
}
