//! Files of embeddings: Parquet for databases and for [`search`], NumPy for arrays.
//!
//! [`search`]: VectorReader

mod error;
mod npy;
mod parquet;
mod partial;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use error::VectorsError;
pub use reader::{VectorGroup, VectorReader};
pub use writer::{VectorFile, VectorWriter};

use serde::Serialize;
use std::fmt;

/// Key of the Parquet metadata that says whose the vectors are.
const MODEL: &str = "twinspan.model";
/// Key of the Parquet metadata that says how wide they are.
const EMBED_DIM: &str = "twinspan.embed_dim";

/// What a vector is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A picture.
    Image,
    /// A text.
    Text,
}

impl Kind {
    /// As it stands in files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }

    fn of(text: &[u8]) -> Option<Self> {
        let kinds = [Self::Image, Self::Text];
        kinds
            .into_iter()
            .find(|kind| kind.as_str().as_bytes() == text)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose vectors a file holds, and how wide they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Fingerprint of the model's configuration and weights.
    pub model: String,
    /// Width of an embedding.
    pub embed_dim: usize,
}
