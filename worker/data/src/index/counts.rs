//! A shard's sample count: what is written beside it, and what its headers say.

use super::{IndexBuildError, entry};
use crate::shard::StoredShard;
use crate::store::{Object, Stores};
use crate::tar::{SampleReader, TarError};
use std::collections::BTreeMap;

/// The counts of one folder: the content of its `sizes.json`, if it has one.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    file: String,
    samples: BTreeMap<String, u64>,
}

/// A count that somebody wrote down.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The file that says it.
    pub(super) file: String,
    pub(super) samples: u64,
}

impl Sizes {
    /// What is written of the shard of that name.
    pub(super) fn of(&self, name: &str) -> Option<Written> {
        self.samples.get(name).map(|samples| Written {
            file: self.file.clone(),
            samples: *samples,
        })
    }
}

/// The counts in a folder's `sizes.json`; none where there is none.
pub(super) async fn sizes_in(stores: &Stores, folder: &str) -> Result<Sizes, IndexBuildError> {
    let file = format!("{folder}/sizes.json");
    let Some(bytes) = stores
        .read_if_present(&file)
        .await
        .map_err(IndexBuildError::Store)?
    else {
        return Ok(Sizes::default());
    };
    match serde_json::from_slice(&bytes) {
        Ok(samples) => Ok(Sizes { file, samples }),
        Err(error) => Err(IndexBuildError::BadCounts {
            url: file,
            reason: format!("it is not a mapping of shard names to sample counts ({error})"),
        }),
    }
}

/// What img2dataset wrote down of a shard. Its `count` includes the samples that it failed to
/// fetch, so only `successes` counts.
pub(super) async fn successes(
    stores: &Stores,
    shard: &str,
) -> Result<Option<Written>, IndexBuildError> {
    let Some(stem) = shard.strip_suffix(".tar") else {
        return Ok(None);
    };
    let file = format!("{stem}_stats.json");
    let Some(bytes) = stores
        .read_if_present(&file)
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
        Some(samples) => Ok(Some(Written { file, samples })),
        None => Err(IndexBuildError::BadCounts {
            url: file,
            reason: "it holds no number \"successes\"".to_owned(),
        }),
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
