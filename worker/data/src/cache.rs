//! Blocks of shards on a local disk, for the epochs after the first.
//!
//! A block is a file that is named by what it is a part of (URL, size and entity tag of the shard)
//! and ends with the SHA-256 of its bytes. A damaged or half-written one is no block, so several
//! workers may share a folder, and any of them may be killed at any time.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::store::Object;

/// Bytes of a block; the last one of a shard is shorter.
pub(crate) const BLOCK: u64 = 1 << 20;
/// Bytes of a block's hash.
const HASH: usize = 32;
/// How files are called that are being written.
const UNFINISHED: &str = "unfinished";

/// A folder of blocks that holds up to a number of bytes: beyond it those that were not used for
/// the longest time go.
#[derive(Debug)]
pub struct ShardCache {
    folder: PathBuf,
    limit: u64,
    blocks: Mutex<Blocks>,
    /// Whether it was said that blocks cannot be written.
    complained: AtomicBool,
}

/// What lies in the folder, by the order of use.
#[derive(Debug, Default)]
struct Blocks {
    bytes: u64,
    uses: u64,
    by_use: BTreeMap<u64, (String, u64)>,
    by_name: HashMap<String, u64>,
}

/// The folder of a cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("data.cache.dir {folder}: {source}; name a folder that can be written, or leave data.cache out", folder = folder.display())]
pub struct CacheError {
    folder: PathBuf,
    source: io::Error,
}

impl ShardCache {
    /// Opens a folder, made where it does not exist, with what an earlier run left in it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(folder: &Path, limit: u64) -> Result<Self, CacheError> {
        let blocks = found_in(folder).map_err(|source| CacheError {
            folder: folder.to_owned(),
            source,
        })?;
        let cache = Self {
            folder: folder.to_owned(),
            limit,
            blocks: Mutex::new(blocks),
            complained: AtomicBool::new(false),
        };
        cache.shrink();
        Ok(cache)
    }

    /// The block of a shard that begins at `start`, if it is here and whole.
    pub(crate) fn read(&self, shard: &Object, start: u64) -> Option<Bytes> {
        let name = name(shard, start)?;
        let file = self.folder.join(&name);
        // Another worker may have written it, or removed it.
        let found = fs::read(&file).ok();
        let is_found = found.is_some();
        let block = found.and_then(checked);
        match &block {
            Some(block) => self.locked().add(name, (block.len() + HASH) as u64),
            None => self.locked().forget(&name),
        }
        if is_found && block.is_none() {
            let _ = fs::remove_file(file);
        }
        block
    }

    /// Keeps a block. A cache that cannot be written is no reason to stop: it is said once.
    pub(crate) fn write(&self, shard: &Object, start: u64, block: &[u8]) {
        let Some(name) = name(shard, start) else {
            return;
        };
        if let Err(error) = self.put(&name, block)
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            let folder = self.folder.display();
            tracing::warn!("{folder}: shards are not kept here: {error}");
        }
    }

    fn put(&self, name: &str, block: &[u8]) -> io::Result<()> {
        let unfinished = format!(
            "{UNFINISHED}-{}-{:x}",
            std::process::id(),
            fastrand::u64(..)
        );
        let unfinished = self.folder.join(unfinished);
        let written = fs::write(&unfinished, [block, &Sha256::digest(block)].concat())
            .and_then(|()| fs::rename(&unfinished, self.folder.join(name)));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
            return written;
        }
        self.locked()
            .add(name.to_owned(), (block.len() + HASH) as u64);
        self.shrink();
        Ok(())
    }

    fn shrink(&self) {
        for name in self.locked().take_beyond(self.limit) {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blocks {
    /// Makes a block the one that was used last.
    fn add(&mut self, name: String, bytes: u64) {
        self.forget(&name);
        self.uses += 1;
        self.bytes += bytes;
        self.by_name.insert(name.clone(), self.uses);
        self.by_use.insert(self.uses, (name, bytes));
    }

    fn forget(&mut self, name: &str) {
        let known = self.by_name.remove(name);
        if let Some((_, bytes)) = known.and_then(|at| self.by_use.remove(&at)) {
            self.bytes -= bytes;
        }
    }

    /// Forgets the blocks that were not used for the longest time, until the rest fits.
    fn take_beyond(&mut self, limit: u64) -> Vec<String> {
        let mut names = Vec::new();
        while self.bytes > limit
            && let Some((_, (name, bytes))) = self.by_use.pop_first()
        {
            self.bytes -= bytes;
            self.by_name.remove(&name);
            names.push(name);
        }
        names
    }
}

/// The blocks of a folder, the oldest first. What was left unfinished is removed.
fn found_in(folder: &Path) -> io::Result<Blocks> {
    fs::create_dir_all(folder)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Another worker may have removed it meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let written = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if name.starts_with(UNFINISHED) {
            let age = written.elapsed().unwrap_or_default();
            if age.as_secs() > 3600 {
                let _ = fs::remove_file(entry.path());
            }
        } else if is_name(&name) {
            found.push((written, name, metadata.len()));
        }
    }
    found.sort();
    let mut blocks = Blocks::default();
    for (_, name, bytes) in found {
        blocks.add(name, bytes);
    }
    Ok(blocks)
}

/// The file of a block. A shard without an entity tag may change unseen, and is not kept.
fn name(shard: &Object, start: u64) -> Option<String> {
    let tag = shard.etag.as_ref()?;
    let Object { url, bytes, .. } = shard;
    let hash = Sha256::digest(format!("{url}\n{bytes}\n{tag}\n{start}"));
    let mut name = String::with_capacity(2 * HASH);
    for byte in hash {
        let _ = write!(name, "{byte:02x}");
    }
    Some(name)
}

/// Whether a file may be a block: nothing else in the folder is ever touched.
fn is_name(name: &str) -> bool {
    name.len() == 2 * HASH && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file's bytes without their hash, if it is theirs.
fn checked(mut file: Vec<u8>) -> Option<Bytes> {
    let end = file.len().checked_sub(HASH)?;
    let hash = file.split_off(end);
    (Sha256::digest(&file)[..] == hash).then(|| file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(etag: &str) -> Object {
        Object {
            url: "s3://bucket/0.tar".to_owned(),
            bytes: 10 << 20,
            etag: (!etag.is_empty()).then(|| etag.to_owned()),
        }
    }

    #[test]
    fn the_least_recently_used_blocks_go_and_the_rest_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("notes.txt");
        fs::write(&other, "mine").expect("writes");
        let (shard, block) = (shard("a"), [7; 1000]);
        let cache = ShardCache::open(folder.path(), 3 * 1032).expect("opens");
        for start in 0..3 {
            cache.write(&shard, start, &block);
        }
        assert!(cache.read(&shard, 0).is_some());
        cache.write(&shard, 3, &block);
        let held = |cache: &ShardCache| -> Vec<u64> {
            (0..4)
                .filter(|at| cache.read(&shard, *at).is_some())
                .collect()
        };
        assert_eq!(held(&cache), [0, 2, 3]);
        let again = ShardCache::open(folder.path(), 2 * 1032).expect("opens");
        assert_eq!(held(&again).len(), 2);
        assert_eq!(fs::read(other).expect("reads"), b"mine");
    }

    #[test]
    fn damaged_blocks_and_blocks_of_another_version_are_no_blocks() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = ShardCache::open(folder.path(), 1 << 20).expect("opens");
        let first = shard("a");
        cache.write(&first, 0, b"bytes");
        assert_eq!(cache.read(&first, 0).as_deref(), Some(&b"bytes"[..]));
        assert!(cache.read(&shard("b"), 0).is_none());
        cache.write(&shard(""), 0, b"bytes");
        assert!(cache.read(&shard(""), 0).is_none());
        let file = folder.path().join(name(&first, 0).expect("a name"));
        let mut damaged = fs::read(&file).expect("reads");
        damaged[2] ^= 1;
        fs::write(&file, damaged).expect("writes");
        assert!(cache.read(&first, 0).is_none());
        assert!(!file.exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = ShardCache::open(&file.path().join("cache"), 1).expect_err("fails");
        assert!(error.to_string().contains("data.cache.dir"), "{error}");
    }
}
