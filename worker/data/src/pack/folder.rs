//! A folder of pictures, each with its caption in a `.txt` of the same stem beside it.

use super::error::PackError;
use super::pair::{Pair, Words};
use crate::loader::{CAPTION, PICTURES};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The pictures below a folder, sorted.
pub(crate) fn pictures_below(root: &Path) -> Result<Vec<PathBuf>, PackError> {
    Ok(Folder::open(root)?.pictures)
}

/// The pictures below a folder, sorted, and what else is there.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) pictures: Vec<PathBuf>,
    /// Files that are neither a picture nor the caption of one.
    pub(super) other_files: u64,
}

impl Folder {
    pub(super) fn open(root: &Path) -> Result<Self, PackError> {
        let mut found = Found::default();
        found.below(root)?;
        found.pictures.sort();
        let captions: HashSet<PathBuf> = found
            .pictures
            .iter()
            .map(|picture| caption_of(picture))
            .collect();
        let stray = found.texts.iter().filter(|text| !captions.contains(*text));
        Ok(Self {
            root: root.to_owned(),
            other_files: found.others + stray.count() as u64,
            pictures: found.pictures,
        })
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.pictures.iter().map(|picture| {
            let inside = picture.strip_prefix(&self.root).unwrap_or(picture);
            Pair {
                place: inside.display().to_string(),
                picture: picture.clone(),
                caption: Words::File(caption_of(picture)),
            }
        })
    }
}

fn caption_of(picture: &Path) -> PathBuf {
    picture.with_extension(CAPTION)
}

#[derive(Debug, Default)]
struct Found {
    pictures: Vec<PathBuf>,
    texts: Vec<PathBuf>,
    others: u64,
}

impl Found {
    /// Links to files are followed; links to folders are not, since they may lead round in a
    /// circle. Hidden files are what programs leave behind.
    fn below(&mut self, folder: &Path) -> Result<(), PackError> {
        let unreadable = |source| PackError::Unreadable {
            path: folder.to_owned(),
            source,
        };
        for entry in std::fs::read_dir(folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let path = entry.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            let extension = extension.map(str::to_lowercase).unwrap_or_default();
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if entry.file_type().map_err(unreadable)?.is_dir() {
                self.below(&path)?;
            } else if hidden || path.is_dir() {
                self.others += 1;
            } else if PICTURES.contains(&extension.as_str()) {
                self.pictures.push(path);
            } else if extension == CAPTION {
                self.texts.push(path);
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }
}
