//! Building a run's index: which shards there are and how many samples each holds.

mod counts;

pub use counts::count_samples;

use crate::store::{Object, StoreError, Stores};
use crate::tar::TarError;
use counts::{Sizes, Written, sizes_in, successes};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use twinspan_types::config::DataSource;
use twinspan_types::{Index, ShardEntry, SourceEntry};

/// Shards that are looked at at once.
const AT_ONCE: usize = 16;

/// Hears how far a long work is: what is done, and how much there is in all.
pub type OnProgress<'p> = &'p (dyn Fn(u64, u64) + Sync);

/// Which count of a shard's samples is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// The one that is written beside the shard; a shard without one is counted.
    Written,
    /// Every shard is counted, and what is written is compared.
    Scan,
}

/// What a look at all shards found.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The shards with their samples.
    pub index: Index,
    /// Shards whose samples were counted by reading their headers.
    pub counted: u64,
    /// Shards whose written count is another than the counted one.
    pub differences: Vec<CountDiffers>,
}

/// A written count that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct CountDiffers {
    /// The shard.
    pub shard: String,
    /// The file that counts it.
    pub written_in: String,
    /// What that file says.
    pub written: u64,
    /// The samples that the shard holds.
    pub counted: u64,
}

impl fmt::Display for CountDiffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} holds {} samples, and {} says {}",
            self.shard, self.counted, self.written_in, self.written
        )
    }
}

/// Why an index cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum IndexBuildError {
    /// The list of URLs is empty.
    #[error("no training shards are named: set data.train to shard URLs or prefixes ending in /")]
    NoUrls,
    /// A prefix without shards.
    #[error("{url} holds no .tar file: check the prefix, or name the shards one by one")]
    NoShards {
        /// The prefix.
        url: String,
    },
    /// A shard that does not exist.
    #[error(
        "the shard {url} does not exist: check its URL and its bucket, or fetch the shard again"
    )]
    MissingShard {
        /// The shard.
        url: String,
    },
    /// A file of counts that does not say what it should.
    #[error("{url}: {reason}: correct the file, or remove it so that the shards are counted")]
    BadCounts {
        /// The file.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A shard that cannot be counted.
    #[error("the shard {url} cannot be counted: {source}: fetch it again or leave it out")]
    BadShard {
        /// The shard.
        url: String,
        /// What is wrong.
        source: TarError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl IndexBuildError {
    /// Whether what was given is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Store(error) => error.is_bad_input(),
            _ => true,
        }
    }
}

/// As [`survey`] with the written counts, and nobody to hear of it.
///
/// # Errors
/// As [`survey`].
pub async fn build_index(urls: &[String]) -> Result<Index, IndexBuildError> {
    let survey = survey(urls, Counting::Written, &[], &|_, _| {}).await?;
    Ok(survey.index)
}

/// Indexes shard URLs and prefixes (URLs ending in `/`, for all `*.tar` below by name), in the
/// order given. Shards that are `given_up` are not looked at: they are what they were.
/// `on_progress` hears of each shard whose samples are known.
///
/// Counts come from the `sizes.json` beside a shard, else from img2dataset's `successes` in
/// `<shard>_stats.json`, else from a scan of the shard's headers.
///
/// # Errors
/// When a shard is missing or cannot be counted, when a prefix holds none, or the store fails.
pub async fn survey(
    urls: &[String],
    counting: Counting,
    given_up: &[ShardEntry],
    on_progress: OnProgress<'_>,
) -> Result<Survey, IndexBuildError> {
    let stores = &Stores::default();
    let given_up = &GivenUp::new(given_up);
    let objects = find(stores, urls, given_up).await?;
    let folders = &sizes_of(stores, &objects).await?;

    let (done, total) = (AtomicU64::new(0), objects.len() as u64);
    on_progress(0, total);
    let looks = objects.iter().map(async |object| {
        let look = match given_up.shard(&object.url) {
            Some(shard) => Look::unseen(shard.clone()),
            None => look(stores, folders, object, counting).await?,
        };
        on_progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        Ok(look)
    });
    let looks: Vec<Look> = futures::stream::iter(looks)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let counted = looks.iter().filter(|look| look.counted.is_some()).count() as u64;
    let differences = looks.iter().filter_map(Look::difference).collect();
    let shards = looks.into_iter().map(|look| look.shard).collect();
    Ok(Survey {
        index: Index::of_one_source(shards),
        counted,
        differences,
    })
}

/// Indexes a run's sources, one after the other, with the written counts. Where no weights are
/// given, a source weighs as much as it has samples.
///
/// # Errors
/// As [`survey`], with the number of the source.
pub async fn index_sources(
    sources: &[DataSource],
    given_up: &[ShardEntry],
    on_progress: OnProgress<'_>,
) -> Result<Index, (usize, IndexBuildError)> {
    let mut index = Index {
        sources: Vec::new(),
        shards: Vec::new(),
    };
    for (number, source) in sources.iter().enumerate() {
        let survey = survey(&source.urls, Counting::Written, given_up, on_progress).await;
        let found = survey.map_err(|error| (number, error))?.index;
        index.sources.push(SourceEntry {
            shards: u32::try_from(found.shards.len()).unwrap_or(u32::MAX),
            weight: source.weight.unwrap_or(found.samples() as f64),
            captions: source.captions.clone(),
        });
        index.shards.extend(found.shards);
    }
    Ok(index)
}

/// What is known of one shard's samples.
struct Look {
    shard: ShardEntry,
    written: Option<Written>,
    counted: Option<u64>,
}

/// Shards that a run has given up, by URL.
struct GivenUp<'s>(BTreeMap<&'s str, &'s ShardEntry>);

impl<'s> GivenUp<'s> {
    fn new(shards: &'s [ShardEntry]) -> Self {
        let by_url = shards.iter().map(|shard| (shard.url.as_str(), shard));
        Self(by_url.collect())
    }

    fn shard(&self, url: &str) -> Option<&ShardEntry> {
        self.0.get(url).copied()
    }

    /// Puts those below a prefix back where they stood in its list.
    fn put_back(&self, prefix: &str, objects: &mut Vec<Object>) {
        objects.retain(|object| self.shard(&object.url).is_none());
        let below = self
            .0
            .values()
            .filter(|shard| shard.url.starts_with(prefix));
        objects.extend(below.map(|shard| object(shard)));
        objects.sort_by(|a, b| a.url.cmp(&b.url));
    }
}

/// What a store is asked for when the index has a shard.
pub(crate) fn object(shard: &ShardEntry) -> Object {
    Object {
        url: shard.url.clone(),
        bytes: shard.bytes,
        etag: shard.etag.clone(),
    }
}

impl Look {
    /// A shard that is taken as it was.
    fn unseen(shard: ShardEntry) -> Self {
        Self {
            shard,
            written: None,
            counted: None,
        }
    }

    fn difference(&self) -> Option<CountDiffers> {
        let (written, counted) = (self.written.as_ref()?, self.counted?);
        (written.samples != counted).then(|| CountDiffers {
            shard: self.shard.url.clone(),
            written_in: written.file.clone(),
            written: written.samples,
            counted,
        })
    }
}

async fn look(
    stores: &Stores,
    folders: &BTreeMap<String, Sizes>,
    object: &Object,
    counting: Counting,
) -> Result<Look, IndexBuildError> {
    let (folder, name) = split(&object.url);
    let listed = folders.get(folder).and_then(|sizes| sizes.of(name));
    let written = match listed {
        Some(listed) => Some(listed),
        None => successes(stores, &object.url).await?,
    };
    let (samples, counted) = match (&written, counting) {
        (Some(written), Counting::Written) => (written.samples, None),
        (None, _) | (_, Counting::Scan) => {
            let counted = count_samples(stores, object).await?;
            (counted, Some(counted))
        }
    };
    Ok(Look {
        shard: entry(object, samples),
        written,
        counted,
    })
}

/// The objects behind URLs and prefixes, in the order given.
async fn find(
    stores: &Stores,
    urls: &[String],
    given_up: &GivenUp<'_>,
) -> Result<Vec<Object>, IndexBuildError> {
    if urls.is_empty() {
        return Err(IndexBuildError::NoUrls);
    }
    let mut objects = Vec::new();
    for url in urls.iter().filter(|url| url.ends_with('/')) {
        let mut below = shards_below(stores, url).await?;
        given_up.put_back(url, &mut below);
        objects.push((url, below));
    }
    let below: BTreeMap<&String, Vec<Object>> = objects.into_iter().collect();
    let heads = urls.iter().map(async |url| match below.get(url) {
        Some(objects) => Ok(objects.clone()),
        None => match given_up.shard(url) {
            Some(shard) => Ok(vec![object(shard)]),
            None => Ok(vec![head(stores, url).await?]),
        },
    });
    let objects: Vec<Vec<Object>> = futures::stream::iter(heads)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(objects.into_iter().flatten().collect())
}

/// The `sizes.json` of every folder that shards lie in.
async fn sizes_of(
    stores: &Stores,
    objects: &[Object],
) -> Result<BTreeMap<String, Sizes>, IndexBuildError> {
    let mut folders = BTreeMap::new();
    for object in objects {
        let (folder, _) = split(&object.url);
        if !folders.contains_key(folder) {
            folders.insert(folder.to_owned(), sizes_in(stores, folder).await?);
        }
    }
    Ok(folders)
}

/// All `*.tar` below a prefix, by URL.
pub(crate) async fn shards_below(
    stores: &Stores,
    prefix: &str,
) -> Result<Vec<Object>, IndexBuildError> {
    let mut objects = stores.list(prefix).await.map_err(IndexBuildError::Store)?;
    objects.retain(|object| object.url.ends_with(".tar"));
    match objects.is_empty() {
        true => Err(IndexBuildError::NoShards {
            url: prefix.to_owned(),
        }),
        false => Ok(objects),
    }
}

pub(crate) fn entry(object: &Object, samples: u64) -> ShardEntry {
    ShardEntry {
        url: object.url.clone(),
        samples,
        bytes: object.bytes,
        etag: object.etag.clone(),
    }
}

async fn head(stores: &Stores, url: &str) -> Result<Object, IndexBuildError> {
    stores.head(url).await.map_err(|error| match error {
        StoreError::Missing { url, .. } => IndexBuildError::MissingShard { url },
        other => IndexBuildError::Store(other),
    })
}

/// Folder and name of a URL.
fn split(url: &str) -> (&str, &str) {
    url.rsplit_once('/').unwrap_or(("", url))
}
