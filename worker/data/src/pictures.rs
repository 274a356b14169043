//! Pictures to embed: files and folders of this machine, or shards.

use crate::dataset::{EvalError, EvalReader, EvalSet, Share};
use crate::image::Transformer;
use crate::index::{IndexBuildError, OnProgress};
use crate::pack::{PackError, pictures_below};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use twinspan_types::Index;

/// Why pictures cannot be found.
#[derive(Debug, thiserror::Error)]
pub enum PicturesError {
    /// A path that leads nowhere.
    #[error("{path} does not exist: correct the path", path = path.display())]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// A folder without pictures.
    #[error(
        "{folder} holds no picture (.jpg .png .jpeg .webp): name another folder, or the pictures",
        folder = folder.display()
    )]
    NoPictures {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder that could mean either.
    #[error(
        "{folder} holds pictures and .tar shards: name the shards themselves, with braces, or put \
         the pictures into a folder of their own",
        folder = folder.display()
    )]
    Both {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder that cannot be read.
    #[error(transparent)]
    Folder(#[from] PackError),
    /// Shards that cannot be found or counted.
    #[error(transparent)]
    Shards(#[from] IndexBuildError),
}

impl PicturesError {
    /// Whether what was given is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Shards(error) => error.is_bad_input(),
            _ => true,
        }
    }
}

/// A picture that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassedOver {
    /// Its path, or its webdataset key.
    pub key: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Pictures, found but not read.
#[derive(Debug, Clone)]
pub enum Pictures {
    /// Files of this machine, by path.
    Files(Vec<PathBuf>),
    /// Every sample of shards.
    Shards(Index),
}

impl Pictures {
    /// The files that were named, and all pictures below the folders, sorted.
    ///
    /// # Errors
    /// When a path does not exist, or a folder holds no picture or cannot be read.
    pub fn files(paths: &[PathBuf]) -> Result<Self, PicturesError> {
        let mut files = Vec::new();
        for path in paths {
            match Self::below(path)? {
                Some(below) => files.extend(below),
                None if path.exists() => files.push(path.clone()),
                None => return Err(PicturesError::Missing { path: path.clone() }),
            }
        }
        Ok(Self::Files(files))
    }

    /// All pictures below a folder that is not one of shards; none where it holds no picture.
    ///
    /// # Errors
    /// When it holds shards too, or cannot be read.
    pub fn folder(folder: &Path) -> Result<Option<Self>, PicturesError> {
        let files = match Self::below(folder) {
            Ok(files) => files.unwrap_or_default(),
            Err(PicturesError::NoPictures { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| PathBuf::from(entry.file_name()));
        match names.any(|name| name.extension() == Some(OsStr::new("tar"))) {
            true => Err(PicturesError::Both {
                folder: folder.to_owned(),
            }),
            false => Ok(Some(Self::Files(files))),
        }
    }

    /// The samples of shards, or of all shards below URLs ending in `/`.
    ///
    /// # Errors
    /// As [`survey`](crate::survey).
    pub async fn shards(
        urls: &[String],
        on_progress: OnProgress<'_>,
    ) -> Result<Self, PicturesError> {
        let survey = crate::survey(urls, crate::Counting::Written, &[], on_progress).await?;
        Ok(Self::Shards(survey.index))
    }

    /// How many there are, those that cannot be used among them.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Files(files) => files.len() as u64,
            Self::Shards(index) => index.samples(),
        }
    }

    /// Reads them, from the first, as squares of `image_size` pixels.
    #[must_use]
    pub fn reader(&self, image_size: u32) -> PictureReader {
        match self {
            Self::Files(files) => PictureReader::Files {
                files: files.iter().cloned().collect(),
                transformer: Transformer::new(image_size),
            },
            Self::Shards(index) => PictureReader::Shards(Box::new(
                EvalSet::of_index(index).reader(image_size, Share::WHOLE),
            )),
        }
    }

    /// The pictures below a folder; none where `path` is none.
    fn below(path: &Path) -> Result<Option<Vec<PathBuf>>, PicturesError> {
        if !path.is_dir() {
            return Ok(None);
        }
        let files = pictures_below(path)?;
        match files.is_empty() {
            true => Err(PicturesError::NoPictures {
                folder: path.to_owned(),
            }),
            false => Ok(Some(files)),
        }
    }
}

/// One picture as the model takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Square {
    /// Its path, or its webdataset key.
    pub key: String,
    /// `image_size x image_size x 3`: red, green, blue.
    pub pixels: Vec<u8>,
}

/// Reads pictures in their order.
#[derive(Debug)]
pub enum PictureReader {
    /// Of files.
    Files {
        /// Those that are still to be read.
        files: VecDeque<PathBuf>,
        /// open_clip's evaluation transform.
        transformer: Transformer,
    },
    /// Of shards.
    Shards(Box<EvalReader>),
}

impl PictureReader {
    /// The next picture or what is wrong with it, or nothing at the end.
    ///
    /// # Errors
    /// When a shard cannot be read to its end, or the store fails.
    pub async fn next(&mut self) -> Result<Option<Result<Square, PassedOver>>, EvalError> {
        match self {
            Self::Files { files, transformer } => {
                Ok(files.pop_front().map(|file| square(&file, transformer)))
            }
            Self::Shards(reader) => {
                let sample = reader.next().await?;
                Ok(sample.map(|sample| {
                    sample.map(|sample| Square {
                        key: sample.key,
                        pixels: sample.pixels,
                    })
                }))
            }
        }
    }
}

fn square(file: &Path, transformer: &mut Transformer) -> Result<Square, PassedOver> {
    let key = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| error.to_string());
    let pixels =
        bytes.and_then(|bytes| transformer.eval(&bytes).map_err(|error| error.to_string()));
    match pixels {
        Ok(pixels) => Ok(Square { key, pixels }),
        Err(reason) => Err(PassedOver { key, reason }),
    }
}
