//! A shard's bytes by ranges: from an object store, or from memory.

use crate::store::{self, Object, StoreError, Stores};
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
        })
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
        let end = range
            .end
            .max((start + self.block_bytes).min(self.object.bytes));
        let block =
            store::read_range(self.store.as_ref(), &self.path, &self.object, start..end).await?;
        let rest = block.slice(..(range.end - start) as usize);
        (self.block, self.block_start) = (block, start);
        match held.is_empty() {
            true => Ok(rest),
            false => Ok([held, rest].concat().into()),
        }
    }
}
