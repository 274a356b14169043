//! Why labelled pictures cannot be split.

use crate::dataset::EvalError;
use crate::index::IndexBuildError;
use crate::store::StoreError;

/// Why labelled pictures cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum HoldOutError {
    /// Training pictures of no class.
    #[error(
        "{count} of {of} training pictures have no class, the first of them {key} of {url}: \
         {reason}; give every training picture a .cls member, or a key that ends in _CLASS as the \
         test set's keys do"
    )]
    NoLabel {
        /// How many.
        count: u64,
        /// How many pictures there are.
        of: u64,
        /// The first of them.
        key: String,
        /// Its shard.
        url: String,
        /// Why it has none.
        reason: String,
    },
    /// Two pictures that cannot be told apart.
    #[error(
        "two training pictures are called {key} and have the classes {one} and {other}; give every \
         picture a key of its own"
    )]
    OneKey {
        /// The key.
        key: String,
        /// The one's class.
        one: usize,
        /// The other's.
        other: usize,
    },
    /// A part without pictures.
    #[error(
        "of {pictures} training pictures {held_out} are held out: too few to train on and to \
         measure with; give more"
    )]
    TooFew {
        /// Training pictures.
        pictures: u64,
        /// Those of them that are held out.
        held_out: u64,
    },
    /// A test set without pictures.
    #[error(
        "the test set {url} holds no picture with a class; give one with {{key}}.jpg and {{key}}.cls in its shards"
    )]
    EmptyTestSet {
        /// The set.
        url: String,
    },
    /// A shard that cannot be made.
    #[error("{file} cannot be made: {source}")]
    Archive {
        /// The shard.
        file: String,
        /// The archiver's words.
        source: std::io::Error,
    },
    /// The test set or a shard is not what it should be.
    #[error(transparent)]
    Set(#[from] EvalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HoldOutError {
    /// Whether what was given is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Store(error)
            | Self::Set(
                EvalError::Store(error) | EvalError::Shards(IndexBuildError::Store(error)),
            ) => error.is_bad_input(),
            Self::Archive { .. } => false,
            _ => true,
        }
    }
}
