//! Building a run's index: which shards there are and how many samples each holds.

use crate::shard::StoredShard;
use crate::store::{Object, StoreError, Stores};
use crate::tar::{SampleReader, TarError};
use futures::{StreamExt, TryStreamExt};
use std::collections::BTreeMap;
use twinspan_types::{Index, ShardEntry};

/// Shards that are looked at at once.
const AT_ONCE: usize = 16;

/// Sample counts by shard name: the content of a `sizes.json`.
type Sizes = BTreeMap<String, u64>;

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
        "the shard {url} does not exist: check data.train and its bucket, or fetch the shard again"
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

/// Indexes shard URLs and prefixes (URLs ending in `/`, for all `*.tar` below by name), in the
/// order given.
///
/// Counts come from the `sizes.json` beside a shard, else from img2dataset's `successes` in
/// `<shard>_stats.json`, else from a scan of the shard's headers.
///
/// # Errors
/// When a shard is missing or cannot be counted, when a prefix holds none, or the store fails.
pub async fn build_index(urls: &[String]) -> Result<Index, IndexBuildError> {
    if urls.is_empty() {
        return Err(IndexBuildError::NoUrls);
    }
    let stores = &Stores::default();
    let mut objects = Vec::new();
    for url in urls.iter().filter(|url| url.ends_with('/')) {
        objects.push((url, shards_below(stores, url).await?));
    }
    let below: BTreeMap<&String, Vec<Object>> = objects.into_iter().collect();
    let heads = urls.iter().map(async |url| match below.get(url) {
        Some(objects) => Ok(objects.clone()),
        None => Ok(vec![head(stores, url).await?]),
    });
    let objects: Vec<Vec<Object>> = futures::stream::iter(heads)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let objects: Vec<Object> = objects.into_iter().flatten().collect();

    let mut folders: BTreeMap<&str, Sizes> = BTreeMap::new();
    for object in &objects {
        let (folder, _) = split(&object.url);
        if !folders.contains_key(folder) {
            folders.insert(folder, sizes_in(stores, folder).await?);
        }
    }
    let counted = objects.iter().map(async |object| {
        let (folder, name) = split(&object.url);
        let listed = folders.get(folder).and_then(|sizes| sizes.get(name));
        let samples = match listed {
            Some(samples) => *samples,
            None => match successes(stores, &object.url).await? {
                Some(samples) => samples,
                None => count_samples(stores, object).await?,
            },
        };
        Ok(entry(object, samples))
    });
    let shards = futures::stream::iter(counted)
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Index { shards })
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

/// Counts a shard's samples by its headers.
///
/// # Errors
/// When the shard is truncated or corrupt, or the store fails.
pub async fn count_samples(stores: &Stores, object: &Object) -> Result<u64, IndexBuildError> {
    let bad = |source| match source {
        TarError::Store(error) => IndexBuildError::Store(error),
        source => IndexBuildError::BadShard {
            url: object.url.clone(),
            source,
        },
    };
    // Members larger than a block are jumped over, and smaller ones come with it.
    let shard = StoredShard::open(stores, &entry(object, 0), 0).map_err(IndexBuildError::Store)?;
    let mut reader = SampleReader::new(shard);
    while reader.next(|_| false).await.map_err(bad)?.is_some() {}
    Ok(reader.index())
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

async fn sizes_in(stores: &Stores, folder: &str) -> Result<Sizes, IndexBuildError> {
    let url = format!("{folder}/sizes.json");
    let Some(bytes) = stores
        .read_if_present(&url)
        .await
        .map_err(IndexBuildError::Store)?
    else {
        return Ok(Sizes::new());
    };
    serde_json::from_slice(&bytes).map_err(|error| IndexBuildError::BadCounts {
        url,
        reason: format!("it is not a mapping of shard names to sample counts ({error})"),
    })
}

/// What img2dataset wrote down of a shard. Its `count` includes the samples that it failed to
/// fetch, so only `successes` counts.
async fn successes(stores: &Stores, shard: &str) -> Result<Option<u64>, IndexBuildError> {
    let Some(stem) = shard.strip_suffix(".tar") else {
        return Ok(None);
    };
    let url = format!("{stem}_stats.json");
    let Some(bytes) = stores
        .read_if_present(&url)
        .await
        .map_err(IndexBuildError::Store)?
    else {
        return Ok(None);
    };
    let stats: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    match stats
        .as_ref()
        .and_then(|stats| stats.get("successes")?.as_u64())
    {
        Some(samples) => Ok(Some(samples)),
        None => {
            let reason = "it holds no number \"successes\"".to_owned();
            Err(IndexBuildError::BadCounts { url, reason })
        }
    }
}

/// Folder and name of a URL.
fn split(url: &str) -> (&str, &str) {
    url.rsplit_once('/').unwrap_or(("", url))
}
