//! Where a sample keeps its caption.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where the samples of a source keep their captions: `txt`, another extension, or `json:caption`
/// for a field of the `.json` member that img2dataset writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Captions {
    /// The whole member with this extension.
    Member(String),
    /// A text field of the `.json` member.
    JsonField(String),
}

impl Captions {
    /// The extension of the member to read.
    #[must_use]
    pub fn extension(&self) -> &str {
        match self {
            Self::Member(extension) => extension,
            Self::JsonField(_) => "json",
        }
    }
}

impl Default for Captions {
    fn default() -> Self {
        Self::Member("txt".to_owned())
    }
}

impl fmt::Display for Captions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(extension) => f.write_str(extension),
            Self::JsonField(field) => write!(f, "json:{field}"),
        }
    }
}

impl From<Captions> for String {
    fn from(captions: Captions) -> Self {
        captions.to_string()
    }
}

impl FromStr for Captions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let extension = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        match text.strip_prefix("json:") {
            Some(field) if !field.is_empty() => Ok(Self::JsonField(field.to_owned())),
            None if !text.is_empty() && text.chars().all(extension) => {
                Ok(Self::Member(text.to_owned()))
            }
            _ => Err(format!(
                "{text:?} is neither a member's extension such as txt nor a field such as json:caption"
            )),
        }
    }
}

impl TryFrom<String> for Captions {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}
