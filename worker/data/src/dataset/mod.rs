//! Evaluation sets: CLIP_benchmark's webdataset layout, a folder of classes, and captioned pictures.

mod captions;
mod error;
mod folder;
mod labels;
mod lines;
mod reader;
mod share;

pub use error::EvalError;
pub(crate) use labels::class_below;
pub(crate) use reader::LABEL;
pub use reader::{EvalReader, EvalSample};
pub use share::Share;

use crate::index::{self, IndexBuildError};
use crate::store::{Object, StoreError, Stores};
use folder::{ClassFile, ClassFolder};
use reader::{Labels, Left};
use twinspan_types::Index;
use twinspan_types::config::expand_braces;

/// Stands for the class name in a prompt template.
pub const PLACE: &str = "{c}";
/// The prompt template of a folder of classes that brings none.
const DEFAULT_TEMPLATE: &str = "a photo of a {c}";
/// Names the classes of a set, at its root.
pub(crate) const CLASS_NAMES: &str = "classnames.txt";
/// Holds the prompt templates of a set, at its root.
pub(crate) const TEMPLATES: &str = "zeroshot_classification_templates.txt";

/// Counts the shards of a set below its `test/`.
pub(crate) const SHARD_COUNT: &str = "test/nshards.txt";

/// An evaluation set, found but not read.
#[derive(Debug, Clone)]
pub struct EvalSet {
    /// Where it lies, as it was given.
    pub url: String,
    /// Class names by label; none in a captioned set.
    pub classes: Vec<String>,
    /// Prompt templates in which `{c}` stands for the class name; none in a captioned set.
    pub templates: Vec<String>,
    stores: Stores,
    labels: Labels,
    samples: Samples,
}

/// Where a set's samples lie.
#[derive(Debug, Clone)]
enum Samples {
    Shards(Vec<Object>),
    Files(Vec<ClassFile>),
}

/// URLs of files that stand in the place of a set's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wording {
    /// Names the classes, one a line.
    pub class_names: Option<String>,
    /// Holds the prompt templates, one a line.
    pub templates: Option<String>,
}

/// As [`read_classification_worded`], in the set's own words.
///
/// # Errors
/// As [`read_classification_worded`].
pub async fn read_classification(root: &str) -> Result<EvalSet, EvalError> {
    read_classification_worded(root, &Wording::default()).await
}

/// Finds a classification set.
///
/// In CLIP_benchmark's layout there are `classnames.txt` and
/// `zeroshot_classification_templates.txt` at the root, and shards with `.cls` members below
/// `test/`. A folder of classes holds one folder for each class, in the order of their names; where
/// it has none of those two files, the folders' names are the classes', underscores read as spaces,
/// and the template is `a photo of a {c}`.
///
/// # Errors
/// When a file is missing or broken, a template lacks `{c}`, there are not as many names as
/// folders, or the store fails.
pub async fn read_classification_worded(
    root: &str,
    wording: &Wording,
) -> Result<EvalSet, EvalError> {
    let stores = Stores::default();
    let place = root.trim_end_matches('/');
    let folder = match has_test_shards(&stores, place).await? {
        true => None,
        false => ClassFolder::find(&stores, place).await?,
    };
    match folder {
        None => worded_shards(stores, root, wording).await,
        Some(folder) => worded_folder(stores, root, folder, wording).await,
    }
}

async fn worded_shards(stores: Stores, url: &str, wording: &Wording) -> Result<EvalSet, EvalError> {
    let root = url.trim_end_matches('/');
    let own = |name| format!("{root}/{name}");
    let names = wording.class_names.clone().unwrap_or(own(CLASS_NAMES));
    let classes = lines::class_names(&stores, &names).await?;
    let templates = wording.templates.clone().unwrap_or(own(TEMPLATES));
    let templates = lines::templates(&stores, &templates).await?;
    let shards = test_shards(&stores, root).await?;
    Ok(EvalSet {
        url: url.to_owned(),
        labels: Labels::Below(classes.len()),
        classes,
        templates,
        stores,
        samples: Samples::Shards(shards),
    })
}

async fn worded_folder(
    stores: Stores,
    url: &str,
    ClassFolder { names, files }: ClassFolder,
    wording: &Wording,
) -> Result<EvalSet, EvalError> {
    let root = url.trim_end_matches('/');
    let own = |name| format!("{root}/{name}");
    let (names_in, given) = match &wording.class_names {
        Some(file) => (file.clone(), Some(lines::class_names(&stores, file).await?)),
        None => {
            let file = own(CLASS_NAMES);
            let found = lines::class_names_if_present(&stores, &file).await?;
            (file, found)
        }
    };
    let folders = names.len();
    let spoken = names.iter().map(|name| name.replace('_', " "));
    let classes = given.unwrap_or_else(|| spoken.collect());
    if classes.len() != folders {
        return Err(EvalError::ClassCount {
            names_in,
            names: classes.len(),
            root: url.to_owned(),
            folders,
        });
    }
    let templates = match &wording.templates {
        Some(file) => lines::templates(&stores, file).await?,
        None => lines::templates_if_present(&stores, &own(TEMPLATES))
            .await?
            .unwrap_or_else(|| vec![DEFAULT_TEMPLATE.to_owned()]),
    };
    Ok(EvalSet {
        url: url.to_owned(),
        labels: Labels::Below(folders),
        classes,
        templates,
        stores,
        samples: Samples::Files(files),
    })
}

/// Finds a captioned set: all shards below a URL ending in `/`, or shard URLs with braces.
///
/// # Errors
/// When there are no shards, one is missing, or the store fails.
pub async fn read_captioned(url: &str) -> Result<EvalSet, EvalError> {
    let stores = Stores::default();
    let shards = shards(&stores, url).await?;
    Ok(EvalSet::of_shards(url, stores, Labels::Optional, shards))
}

/// Finds a labelled set, whatever its classes are called: a folder of classes, whose names are then
/// the classes', or shards as in [`read_captioned`] whose samples have `.cls` members.
///
/// # Errors
/// When there is neither, a shard is missing, or the store fails.
pub async fn read_labelled(url: &str) -> Result<EvalSet, EvalError> {
    let stores = Stores::default();
    if url.ends_with(".tar") {
        let shards = shards(&stores, url).await?;
        return Ok(EvalSet::of_shards(url, stores, Labels::Required, shards));
    }
    let root = url.trim_end_matches('/');
    match ClassFolder::find(&stores, root).await? {
        Some(ClassFolder { names, files }) => Ok(EvalSet {
            url: url.to_owned(),
            labels: Labels::Below(names.len()),
            classes: names,
            templates: Vec::new(),
            stores,
            samples: Samples::Files(files),
        }),
        None => {
            let shards = shards(&stores, &format!("{root}/")).await;
            let shards = shards.map_err(|error| match error {
                EvalError::Shards(IndexBuildError::NoShards { .. }) => EvalError::NoLabelledSet {
                    url: url.to_owned(),
                },
                other => other,
            })?;
            Ok(EvalSet::of_shards(url, stores, Labels::Required, shards))
        }
    }
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
        let shards = index.shards.iter().map(index::object).collect();
        Self::of_shards("the index", Stores::default(), Labels::Optional, shards)
    }

    fn of_shards(url: &str, stores: Stores, labels: Labels, shards: Vec<Object>) -> Self {
        Self {
            url: url.to_owned(),
            classes: Vec::new(),
            templates: Vec::new(),
            stores,
            labels,
            samples: Samples::Shards(shards),
        }
    }

    /// Reads the samples of a share, from the first, as squares of `image_size` pixels.
    #[must_use]
    pub fn reader(&self, image_size: u32, share: Share) -> EvalReader {
        let left = match &self.samples {
            Samples::Shards(shards) => Left::Shards {
                shards: shards.iter().cloned().collect(),
                open: None,
            },
            Samples::Files(files) => Left::Files {
                root: self.url.clone(),
                files: files.iter().cloned().collect(),
            },
        };
        EvalReader::new(self.stores.clone(), self.labels, share, image_size, left)
    }
}

/// Whether the set has shards where CLIP_benchmark's layout keeps them.
async fn has_test_shards(stores: &Stores, root: &str) -> Result<bool, EvalError> {
    let count_url = format!("{root}/{SHARD_COUNT}");
    if stores.read_if_present(&count_url).await?.is_some() {
        return Ok(true);
    }
    let objects = stores.list(&format!("{root}/test/")).await?;
    Ok(objects.iter().any(|object| object.url.ends_with(".tar")))
}

/// `test/0.tar` and so on where `test/nshards.txt` counts them, else all that lie there.
async fn test_shards(stores: &Stores, root: &str) -> Result<Vec<Object>, EvalError> {
    let count_url = format!("{root}/{SHARD_COUNT}");
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

/// All shards below a URL ending in `/`, or shard URLs with braces.
async fn shards(stores: &Stores, url: &str) -> Result<Vec<Object>, EvalError> {
    let bad = |reason| EvalError::BadUrl {
        url: url.to_owned(),
        reason,
    };
    let mut shards = Vec::new();
    for url in expand_braces(url).map_err(bad)? {
        match url.ends_with('/') {
            true => shards.extend(index::shards_below(stores, &url).await?),
            false => shards.push(shard(stores, &url).await?),
        }
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
