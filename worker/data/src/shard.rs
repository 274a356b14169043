//! A shard's bytes by ranges: from an object store, or from memory.

use crate::cache::{self, ShardCache};
use crate::index;
use crate::store::{self, Object, StoreError, Stores};
use crate::tar::SampleReader;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path;
use std::ops::Range;
use std::sync::Arc;
use twinspan_types::ShardEntry;

/// Bytes of at least this many are fetched at once, even where fewer are asked for.
const SMALLEST_BLOCK: u64 = 64 << 10;
/// Bytes fetched at once at most, unless more are asked for.
const LARGEST_BLOCK: u64 = 1 << 20;

/// Where an archive's bytes come from.
pub trait Source: Send {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// A range that ends at [`Source::size`] at most, in one piece.
    ///
    /// # Errors
    /// When the store fails.
    fn read(&mut self, range: Range<u64>)
    -> impl Future<Output = Result<Bytes, StoreError>> + Send;
}

/// An archive in memory.
#[derive(Debug, Clone)]
pub struct Memory(pub Bytes);

impl Source for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        Ok(self.0.slice(range.start as usize..range.end as usize))
    }
}

/// A shard in an object store, read in blocks; what it gives out are slices of them, so a sample's
/// bytes are not copied.
#[derive(Debug)]
pub struct StoredShard {
    store: Arc<dyn ObjectStore>,
    path: Path,
    object: Object,
    block_bytes: u64,
    block_start: u64,
    block: Bytes,
    cache: Option<Arc<ShardCache>>,
}

impl StoredShard {
    /// A shard as the index knows it, of which about `expected` bytes will be read.
    ///
    /// # Errors
    /// When its URL cannot be opened.
    pub fn open(stores: &Stores, entry: &ShardEntry, expected: u64) -> Result<Self, StoreError> {
        let (store, path) = stores.open(&entry.url)?;
        let object = Object {
            url: entry.url.clone(),
            bytes: entry.bytes,
            etag: entry.etag.clone(),
        };
        let block_bytes = expected.clamp(SMALLEST_BLOCK, LARGEST_BLOCK);
        Ok(Self {
            store,
            path,
            object,
            block_bytes,
            block_start: 0,
            block: Bytes::new(),
            cache: None,
        })
    }

    /// The samples of a shard that is read to its end, as a listing shows it.
    ///
    /// # Errors
    /// As [`StoredShard::open`].
    pub(crate) fn samples(
        stores: &Stores,
        object: &Object,
    ) -> Result<SampleReader<Self>, StoreError> {
        let shard = Self::open(stores, &index::entry(object, 0), object.bytes)?;
        Ok(SampleReader::new(shard))
    }

    /// Reads whole blocks through a cache.
    #[must_use]
    pub(crate) fn cached(self, cache: Option<Arc<ShardCache>>) -> Self {
        Self { cache, ..self }
    }

    async fn fetch(&self, range: Range<u64>) -> Result<Bytes, StoreError> {
        store::read_range(self.store.as_ref(), &self.path, &self.object, range).await
    }

    /// The whole blocks around a range, and where the first begins.
    async fn through(
        &self,
        cache: Arc<ShardCache>,
        start: u64,
        end: u64,
    ) -> Result<(u64, Bytes), StoreError> {
        let first = start - start % cache::BLOCK;
        let mut blocks = Vec::new();
        for at in (first..end).step_by(cache::BLOCK as usize) {
            let held = self.in_background(&cache, move |cache, shard| cache.read(shard, at));
            let block = match held.await {
                Some(block) => block,
                None => {
                    let block = self
                        .fetch(at..(at + cache::BLOCK).min(self.object.bytes))
                        .await?;
                    let kept = block.clone();
                    self.in_background(&cache, move |cache, shard| {
                        cache.write(shard, at, &kept);
                        None::<()>
                    })
                    .await;
                    block
                }
            };
            blocks.push(block);
        }
        match <[Bytes; 1]>::try_from(blocks) {
            Ok([block]) => Ok((first, block)),
            Err(blocks) => Ok((first, blocks.concat().into())),
        }
    }

    /// Does a disk's work on a thread of its own; what panics gives nothing.
    async fn in_background<T: Send + 'static>(
        &self,
        cache: &Arc<ShardCache>,
        work: impl FnOnce(&ShardCache, &Object) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let (cache, shard) = (Arc::clone(cache), self.object.clone());
        let done = tokio::task::spawn_blocking(move || work(&cache, &shard));
        done.await.ok().flatten()
    }

    /// What the block holds from a place on.
    fn from(&self, start: u64) -> Bytes {
        let from = start.checked_sub(self.block_start);
        let from = from.filter(|from| *from < self.block.len() as u64);
        from.map_or_else(Bytes::new, |from| self.block.slice(from as usize..))
    }

    fn slice(&self, range: &Range<u64>) -> Option<Bytes> {
        let from = range.start.checked_sub(self.block_start)?;
        let to = range.end - self.block_start;
        (to <= self.block.len() as u64).then(|| self.block.slice(from as usize..to as usize))
    }
}

impl Source for StoredShard {
    fn size(&self) -> u64 {
        self.object.bytes
    }

    async fn read(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.slice(&range) {
            return Ok(bytes);
        }
        // A member across two blocks is the one thing that is copied: nothing is fetched twice.
        let held = self.from(range.start);
        let start = range.start + held.len() as u64;
        (self.block_start, self.block) = match self.cache.clone() {
            Some(cache) => self.through(cache, start, range.end).await?,
            None => {
                let end = start + self.block_bytes;
                let block = start..range.end.max(end.min(self.object.bytes));
                (start, self.fetch(block).await?)
            }
        };
        let from = start - self.block_start;
        let to = range.end - self.block_start;
        let rest = self.block.slice(from as usize..to as usize);
        match held.is_empty() {
            true => Ok(rest),
            false => Ok([held, rest].concat().into()),
        }
    }
}
