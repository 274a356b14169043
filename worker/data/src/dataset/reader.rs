//! The samples of an evaluation set, one after the other.

use super::captions::{CAPTION_LIST, captions};
use super::folder::ClassFile;
use super::{EvalError, Share};
use crate::image::Transformer;
use crate::loader::{CAPTION, PICTURES};
use crate::pictures::PassedOver;
use crate::shard::StoredShard;
use crate::store::{Object, Stores};
use crate::tar::{Sample, SampleReader};
use std::collections::VecDeque;

/// Extension of class labels.
pub(crate) const LABEL: &str = "cls";

/// One decoded sample of an evaluation set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalSample {
    /// Its number in the set, from 0.
    pub number: u64,
    /// Its webdataset key, or its path below a folder of classes.
    pub key: String,
    /// `image_size x image_size x 3`: red, green, blue.
    pub pixels: Vec<u8>,
    /// Its captions; none where it has none that is UTF-8.
    pub captions: Vec<String>,
    /// Its class, where it has one.
    pub label: Option<usize>,
}

/// What a set says of its samples' labels.
#[derive(Debug, Clone, Copy)]
pub(super) enum Labels {
    /// They may have one.
    Optional,
    /// They all have one.
    Required,
    /// They all have one, and there are so many classes.
    Below(usize),
}

/// Reads the samples of a share in the set's order.
#[derive(Debug)]
pub struct EvalReader {
    stores: Stores,
    labels: Labels,
    share: Share,
    transformer: Transformer,
    /// Number of the sample that comes next, in this share or another.
    number: u64,
    left: Left,
    total: u64,
}

/// What is still to be read.
#[derive(Debug)]
pub(super) enum Left {
    Shards {
        shards: VecDeque<Object>,
        open: Option<Box<Open>>,
    },
    /// Pictures below a root.
    Files {
        root: String,
        files: VecDeque<ClassFile>,
    },
}

#[derive(Debug)]
pub(super) struct Open {
    url: String,
    bytes: u64,
    reader: SampleReader<StoredShard>,
}

impl Left {
    /// How much it is: bytes of shards, or files.
    fn amount(&self) -> u64 {
        match self {
            Self::Shards { shards, open } => {
                let whole: u64 = shards.iter().map(|shard| shard.bytes).sum();
                let open = open.as_ref();
                whole + open.map_or(0, |open| open.bytes.saturating_sub(open.reader.position()))
            }
            Self::Files { files, .. } => files.len() as u64,
        }
    }
}

impl EvalReader {
    pub(super) fn new(
        stores: Stores,
        labels: Labels,
        share: Share,
        image_size: u32,
        left: Left,
    ) -> Self {
        Self {
            stores,
            labels,
            share,
            transformer: Transformer::new(image_size),
            number: 0,
            total: left.amount(),
            left,
        }
    }

    /// How much of the set is read or passed by, and how much there is in all: bytes of shards, or
    /// files.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        (self.total - self.left.amount(), self.total)
    }

    /// The next sample of the share or what is wrong with its picture, or nothing at the end.
    ///
    /// # Errors
    /// When a shard cannot be read to its end, a label names no class, or the store fails.
    pub async fn next(&mut self) -> Result<Option<Result<EvalSample, PassedOver>>, EvalError> {
        match self.left {
            Left::Shards { .. } => self.next_of_shards().await,
            Left::Files { .. } => self.next_of_files().await,
        }
    }

    async fn next_of_shards(
        &mut self,
    ) -> Result<Option<Result<EvalSample, PassedOver>>, EvalError> {
        let wanted = |extension: &str| {
            [CAPTION, CAPTION_LIST, LABEL].contains(&extension) || PICTURES.contains(&extension)
        };
        loop {
            let Left::Shards { shards, open } = &mut self.left else {
                return Ok(None);
            };
            let mut shard = match open.take() {
                Some(shard) => shard,
                None => match shards.pop_front() {
                    Some(object) => Box::new(Open::new(&self.stores, object)?),
                    None => return Ok(None),
                },
            };
            let mine = self.share.holds(self.number);
            let sample = shard
                .reader
                .next(|extension| mine && wanted(extension))
                .await;
            match sample.map_err(|error| EvalError::of_shard(&shard.url, error))? {
                None => continue,
                Some(sample) => {
                    let decoded = match mine {
                        true => Some(self.decode(&shard.url, sample)?),
                        false => None,
                    };
                    self.number += 1;
                    if let Left::Shards { open, .. } = &mut self.left {
                        *open = Some(shard);
                    }
                    if decoded.is_some() {
                        return Ok(decoded);
                    }
                }
            }
        }
    }

    async fn next_of_files(&mut self) -> Result<Option<Result<EvalSample, PassedOver>>, EvalError> {
        let Left::Files { root, files } = &mut self.left else {
            return Ok(None);
        };
        let file = loop {
            let Some(file) = files.pop_front() else {
                return Ok(None);
            };
            self.number += 1;
            if self.share.holds(self.number - 1) {
                break file;
            }
        };
        let bytes = self.stores.read_if_present(&file.object.url).await?;
        let pixels = match bytes {
            Some(bytes) => square(&mut self.transformer, &bytes),
            None => Err("it is gone".to_owned()),
        };
        let sample = EvalSample {
            number: self.number - 1,
            key: file.key,
            pixels: Vec::new(),
            captions: Vec::new(),
            label: Some(file.label),
        };
        Ok(Some(with_pixels(sample, pixels, root)))
    }

    fn decode(
        &mut self,
        url: &str,
        sample: Sample,
    ) -> Result<Result<EvalSample, PassedOver>, EvalError> {
        let label = label_of(&sample, self.labels, url)?;
        let pixels = match sample.member(&PICTURES) {
            None => Err("it has no picture".to_owned()),
            Some(bytes) => square(&mut self.transformer, bytes),
        };
        let sample = EvalSample {
            number: self.number,
            captions: captions(&sample),
            key: sample.key,
            pixels: Vec::new(),
            label,
        };
        Ok(with_pixels(sample, pixels, url))
    }
}

impl Open {
    fn new(stores: &Stores, object: Object) -> Result<Self, EvalError> {
        Ok(Self {
            reader: StoredShard::samples(stores, &object)?,
            url: object.url,
            bytes: object.bytes,
        })
    }
}

fn square(transformer: &mut Transformer, bytes: &[u8]) -> Result<Vec<u8>, String> {
    transformer.eval(bytes).map_err(|error| error.to_string())
}

fn with_pixels(
    sample: EvalSample,
    pixels: Result<Vec<u8>, String>,
    place: &str,
) -> Result<EvalSample, PassedOver> {
    match pixels {
        Ok(pixels) => Ok(EvalSample { pixels, ..sample }),
        Err(reason) => Err(PassedOver {
            key: sample.key,
            reason: format!("{reason} (in {place})"),
        }),
    }
}

/// The class in a sample's `.cls` member, which the set's labels must allow.
pub(super) fn label_of(
    sample: &Sample,
    labels: Labels,
    url: &str,
) -> Result<Option<usize>, EvalError> {
    let label = sample.member(&[LABEL]);
    let label = label.map(|body| String::from_utf8_lossy(body).trim().to_owned());
    allowed(label, labels).map_err(|reason| EvalError::BadLabel {
        url: url.to_owned(),
        key: sample.key.clone(),
        reason,
    })
}

fn allowed(label: Option<String>, labels: Labels) -> Result<Option<usize>, String> {
    let class = label.as_ref().and_then(|label| label.parse().ok());
    match (class, labels, label) {
        (class, Labels::Optional, _) => Ok(class),
        (_, _, None) => Err("it has no label".to_owned()),
        (Some(class), Labels::Below(classes), _) if class < classes => Ok(Some(class)),
        (Some(class), Labels::Required, _) => Ok(Some(class)),
        (_, Labels::Below(classes), Some(label)) => {
            Err(format!("{label:?} is no class below {classes}"))
        }
        (_, Labels::Required, Some(label)) => Err(format!("{label:?} is no number of a class")),
    }
}
