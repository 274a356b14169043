//! The keys of all samples, read from the shards' headers.

use super::RunFiles;
use crate::shard::StoredShard;
use crate::store::{StoreError, Stores};
use crate::tar::{SampleReader, TarError};
use futures::{StreamExt, TryStreamExt};
use twinspan_types::{ShardEntry, ShardId};

/// Shards that are read at once.
const AT_ONCE: usize = 16;

/// The keys of all samples by shard and number.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    shards: Vec<ShardKeys>,
}

/// One shard's keys, end to end in one text.
#[derive(Debug, Clone, Default)]
struct ShardKeys {
    /// The shard cannot be read.
    unknown: bool,
    text: String,
    ends: Vec<usize>,
}

impl ShardKeys {
    fn push(&mut self, key: &str) {
        self.text.push_str(key);
        self.ends.push(self.text.len());
    }
}

impl Keys {
    /// Reads all shards' headers; a damaged shard has the keys that come before the damage, and a
    /// quarantined one that cannot be read has none. `read` hears of each shard that is done.
    ///
    /// # Errors
    /// When another shard does not exist, has changed, or the store fails.
    pub async fn read(files: &RunFiles, mut read: impl FnMut()) -> Result<Self, StoreError> {
        let stores = &Stores::default();
        let shards = futures::stream::iter((0..).map(ShardId).zip(&files.index.shards))
            .map(async |(id, entry)| match shard(stores, entry).await {
                Err(_) if files.is_quarantined(id) => Ok(ShardKeys {
                    unknown: true,
                    ..ShardKeys::default()
                }),
                keys => keys,
            })
            .buffered(AT_ONCE)
            .inspect_ok(|_| read())
            .try_collect();
        Ok(Self {
            shards: shards.await?,
        })
    }

    /// Whether a shard's keys could not be read.
    #[must_use]
    pub fn are_unknown(&self, shard: ShardId) -> bool {
        self.shards
            .get(shard.index())
            .is_some_and(|keys| keys.unknown)
    }

    /// A sample's key; none where the shard ends before it.
    #[must_use]
    pub fn key(&self, shard: ShardId, index: u64) -> Option<&str> {
        let keys = self.shards.get(shard.index())?;
        let index = usize::try_from(index).ok()?;
        let end = *keys.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| keys.ends[before]);
        Some(&keys.text[start..end])
    }
}

async fn shard(stores: &Stores, entry: &ShardEntry) -> Result<ShardKeys, StoreError> {
    let mut reader = SampleReader::new(StoredShard::open(stores, entry, 0)?);
    let mut keys = ShardKeys::default();
    loop {
        match reader.next(|_| false).await {
            Ok(Some(sample)) => keys.push(&sample.key),
            Err(TarError::Store(error)) => return Err(error),
            Ok(None) | Err(_) => return Ok(keys),
        }
    }
}
