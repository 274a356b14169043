//! Evaluation sets: CLIP_benchmark's webdataset layout, and captioned pictures.

use crate::image::Transformer;
use crate::index::{self, IndexBuildError};
use crate::loader::{CAPTION, PICTURES};
use crate::pictures::PassedOver;
use crate::shard::StoredShard;
use crate::store::{Object, StoreError, Stores};
use crate::tar::{Sample, SampleReader, TarError};
use std::collections::VecDeque;
use twinspan_types::Index;
use twinspan_types::config::expand_braces;

/// Extension of class labels.
const LABEL: &str = "cls";
/// Stands for the class name in a prompt template.
pub const PLACE: &str = "{c}";

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

/// An evaluation set, found but not read.
#[derive(Debug, Clone)]
pub struct EvalSet {
    /// Class names by label; none in a captioned set.
    pub classes: Vec<String>,
    /// Prompt templates in which `{c}` stands for the class name; none in a captioned set.
    pub templates: Vec<String>,
    stores: Stores,
    shards: Vec<Object>,
}

/// One decoded sample of an evaluation set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvalSample {
    /// Its webdataset key.
    pub key: String,
    /// `image_size x image_size x 3`: red, green, blue.
    pub pixels: Vec<u8>,
    /// Its caption, where it has one that is UTF-8.
    pub caption: Option<String>,
    /// Its class, where it has one.
    pub label: Option<usize>,
}

/// Reads an evaluation set's samples in the order of its shards.
#[derive(Debug)]
pub struct EvalReader {
    classes: usize,
    stores: Stores,
    shards: VecDeque<Object>,
    open: Option<(String, SampleReader<StoredShard>)>,
    transformer: Transformer,
    skipped: u64,
}

/// Finds a classification set in CLIP_benchmark's layout: `classnames.txt` and
/// `zeroshot_classification_templates.txt` at the root, shards with `.cls` members below `test/`.
///
/// # Errors
/// When a file is missing or broken, a template lacks `{c}`, or the store fails.
pub async fn read_classification(root: &str) -> Result<EvalSet, EvalError> {
    let stores = Stores::default();
    let root = root.trim_end_matches('/');
    let classes = format!("{root}/classnames.txt");
    let classes = lines(
        &stores,
        &classes,
        "it names the classes, one a line",
        |_| None,
    )
    .await?;
    let templates = format!("{root}/zeroshot_classification_templates.txt");
    let role = "it holds the prompt templates, one a line";
    let lacks_place = |line: &str| {
        let reason = format!("the template {line:?} does not hold {PLACE} for the class name");
        (!line.contains(PLACE)).then_some(reason)
    };
    let templates = lines(&stores, &templates, role, lacks_place).await?;
    Ok(EvalSet {
        classes,
        templates,
        shards: test_shards(&stores, root).await?,
        stores,
    })
}

/// Finds a captioned set: all shards below a URL ending in `/`, or shard URLs with braces.
///
/// # Errors
/// When there are no shards, one is missing, or the store fails.
pub async fn read_captioned(url: &str) -> Result<EvalSet, EvalError> {
    let bad = |reason| EvalError::BadUrl {
        url: url.to_owned(),
        reason,
    };
    let stores = Stores::default();
    let mut shards = Vec::new();
    for url in expand_braces(url).map_err(bad)? {
        match url.ends_with('/') {
            true => shards.extend(index::shards_below(&stores, &url).await?),
            false => shards.push(shard(&stores, &url).await?),
        }
    }
    Ok(EvalSet {
        classes: Vec::new(),
        templates: Vec::new(),
        stores,
        shards,
    })
}

/// The prompts of a class: every template with the name in the place of `{c}`.
pub fn prompts<'t>(
    templates: &'t [String],
    class: &'t str,
) -> impl Iterator<Item = String> + use<'t> {
    templates
        .iter()
        .map(move |template| template.replace(PLACE, class))
}

impl EvalSet {
    /// All samples of the shards that an index lists, without classes.
    #[must_use]
    pub fn of_index(index: &Index) -> Self {
        Self {
            classes: Vec::new(),
            templates: Vec::new(),
            stores: Stores::default(),
            shards: index.shards.iter().map(index::object).collect(),
        }
    }

    /// Reads the samples, from the first, as squares of `image_size` pixels.
    #[must_use]
    pub fn reader(&self, image_size: u32) -> EvalReader {
        EvalReader {
            classes: self.classes.len(),
            stores: self.stores.clone(),
            shards: self.shards.iter().cloned().collect(),
            open: None,
            transformer: Transformer::new(image_size),
            skipped: 0,
        }
    }
}

impl EvalReader {
    /// The next sample, or nothing at the end. Samples whose picture is missing or does not decode
    /// are passed over with a warning and counted.
    ///
    /// # Errors
    /// When a shard cannot be read to its end, a label names no class, or the store fails.
    pub async fn next(&mut self) -> Result<Option<EvalSample>, EvalError> {
        loop {
            match self.next_or_passed_over().await? {
                None => return Ok(None),
                Some(Ok(sample)) => return Ok(Some(sample)),
                Some(Err(PassedOver { key, reason })) => {
                    self.skipped += 1;
                    tracing::warn!(key, reason, "passed over");
                }
            }
        }
    }

    /// The next sample or what is wrong with its picture, or nothing at the end.
    ///
    /// # Errors
    /// As [`EvalReader::next`].
    pub async fn next_or_passed_over(
        &mut self,
    ) -> Result<Option<Result<EvalSample, PassedOver>>, EvalError> {
        loop {
            let (url, mut reader) = match self.open.take() {
                Some(open) => open,
                None => {
                    let Some(object) = self.shards.pop_front() else {
                        return Ok(None);
                    };
                    let shard =
                        StoredShard::open(&self.stores, &index::entry(&object, 0), object.bytes)?;
                    (object.url, SampleReader::new(shard))
                }
            };
            let wanted = |ext: &str| ext == CAPTION || ext == LABEL || PICTURES.contains(&ext);
            match reader.next(wanted).await {
                Ok(None) => continue,
                Err(TarError::Store(error)) => return Err(error.into()),
                Err(source) => return Err(EvalError::BadShard { url, source }),
                Ok(Some(sample)) => {
                    let decoded = self.decode(&url, sample);
                    self.open = Some((url, reader));
                    return decoded.map(Some);
                }
            }
        }
    }

    /// Samples that were passed over so far.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    fn decode(
        &mut self,
        url: &str,
        sample: Sample,
    ) -> Result<Result<EvalSample, PassedOver>, EvalError> {
        let text = |extension| {
            let member = sample.member(&[extension]);
            member
                .and_then(|bytes| std::str::from_utf8(bytes).ok())
                .map(str::to_owned)
        };
        let caption = text(CAPTION);
        let label = match (self.classes, text(LABEL)) {
            (0, label) => label.and_then(|label| label.trim().parse().ok()),
            (classes, label) => Some(label_of(url, &sample.key, label, classes)?),
        };
        let picture = match sample.member(&PICTURES) {
            None => Err("it has no picture".to_owned()),
            Some(bytes) => self
                .transformer
                .eval(bytes)
                .map_err(|error| error.to_string()),
        };
        let key = sample.key;
        Ok(match picture {
            Ok(pixels) => Ok(EvalSample {
                key,
                pixels,
                caption,
                label,
            }),
            Err(reason) => Err(PassedOver {
                key,
                reason: format!("{reason} (in {url})"),
            }),
        })
    }
}

fn label_of(
    url: &str,
    key: &str,
    label: Option<String>,
    classes: usize,
) -> Result<usize, EvalError> {
    let bad = |reason| EvalError::BadLabel {
        url: url.to_owned(),
        key: key.to_owned(),
        reason,
    };
    let label = label.ok_or_else(|| bad("it has no label".to_owned()))?;
    match label.trim().parse() {
        Ok(class) if class < classes => Ok(class),
        _ => Err(bad(format!("{label:?} is no class below {classes}"))),
    }
}

/// The lines of a file, each checked; blank lines are allowed at its end alone, because a line's
/// place is a class's number.
async fn lines(
    stores: &Stores,
    url: &str,
    role: &'static str,
    fault: impl Fn(&str) -> Option<String>,
) -> Result<Vec<String>, EvalError> {
    let bytes = stores.read_if_present(url).await?;
    let bytes = bytes.ok_or_else(|| EvalError::MissingFile {
        url: url.to_owned(),
        role,
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(text.trim_end().lines()) {
        let blank = line
            .trim()
            .is_empty()
            .then(|| "the line is empty".to_owned());
        if let Some(reason) = blank.or_else(|| fault(line)) {
            return Err(EvalError::BadLine {
                url: url.to_owned(),
                line: number,
                reason,
            });
        }
        lines.push(line.trim().to_owned());
    }
    match lines.is_empty() {
        true => {
            let reason = format!("the file is empty; {role}");
            Err(EvalError::BadLine {
                url: url.to_owned(),
                line: 1,
                reason,
            })
        }
        false => Ok(lines),
    }
}

/// `test/0.tar` and so on where `test/nshards.txt` counts them, else all that lie there.
async fn test_shards(stores: &Stores, root: &str) -> Result<Vec<Object>, EvalError> {
    let count_url = format!("{root}/test/nshards.txt");
    let Some(bytes) = stores.read_if_present(&count_url).await? else {
        return Ok(index::shards_below(stores, &format!("{root}/test/")).await?);
    };
    let text = String::from_utf8_lossy(&bytes);
    let Ok(count) = text.trim().parse::<u32>() else {
        let reason = format!("{:?} is not the number of shards", text.trim());
        return Err(EvalError::BadLine {
            url: count_url,
            line: 1,
            reason,
        });
    };
    let mut shards = Vec::new();
    for number in 0..count {
        shards.push(shard(stores, &format!("{root}/test/{number}.tar")).await?);
    }
    Ok(shards)
}

async fn shard(stores: &Stores, url: &str) -> Result<Object, EvalError> {
    stores.head(url).await.map_err(|error| match error {
        StoreError::Missing { url, .. } => EvalError::MissingFile {
            url,
            role: "it is a shard of the evaluation set",
        },
        other => other.into(),
    })
}
