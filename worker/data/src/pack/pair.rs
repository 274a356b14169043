//! A picture and its caption before they are a sample.

use crate::image;
use crate::tar::LARGEST_MEMBER;
use serde::Serialize;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where a picture and its caption are found.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    /// How the input names it: a picture's path, or a row with it.
    pub(super) place: String,
    pub(super) picture: PathBuf,
    pub(super) caption: Words,
}

/// Where a caption is found.
#[derive(Debug, Clone)]
pub(super) enum Words {
    File(PathBuf),
    Text(String),
}

/// What is written of a pair.
#[derive(Debug)]
pub(super) struct Content {
    /// Extension of the picture's format.
    pub(super) format: &'static str,
    pub(super) picture: Vec<u8>,
    pub(super) caption: String,
}

/// A pair that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// How the input names it.
    pub place: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Pair {
    pub(super) fn bad(&self, reason: String) -> Bad {
        Bad {
            place: self.place.clone(),
            reason,
        }
    }
}

/// Reads a pair, or says why it cannot be used. The picture's format is told, and the rest of it
/// not looked at.
pub(super) fn read(pair: &Pair) -> Result<Content, String> {
    let picture = file(&pair.picture, "picture")?;
    let format = image::format(&picture).ok_or("the picture is neither JPEG nor PNG nor WebP")?;
    let caption = match &pair.caption {
        Words::Text(text) => text.clone(),
        Words::File(path) => String::from_utf8(file(path, "caption")?)
            .map_err(|_| format!("the caption {} is not UTF-8", path.display()))?,
    };
    let caption = caption.trim().to_owned();
    match caption.is_empty() {
        true => Err("the caption is empty".to_owned()),
        false => Ok(Content {
            format,
            picture,
            caption,
        }),
    }
}

/// As [`read`], and decodes the picture.
pub(super) fn check(pair: &Pair) -> Result<(), String> {
    let content = read(pair)?;
    match image::facts(&content.picture) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("the picture does not decode: {error}")),
    }
}

fn file(path: &Path, role: &str) -> Result<Vec<u8>, String> {
    if path.as_os_str().is_empty() {
        return Err(format!("no {role} is named"));
    }
    let cannot = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => format!("its {role} {} does not exist", path.display()),
        _ => format!("its {role} {} cannot be read: {error}", path.display()),
    };
    let bytes = std::fs::metadata(path).map_err(cannot)?.len();
    if bytes > LARGEST_MEMBER {
        return Err(format!("its {role} is larger than {LARGEST_MEMBER} bytes"));
    }
    std::fs::read(path).map_err(cannot)
}
