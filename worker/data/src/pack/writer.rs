//! The second pass: shards, one in memory, and what counts their samples.

use super::archive::Archive;
use super::check::Checked;
use super::error::PackError;
use super::input::Input;
use super::pair::{Pair, read};
use super::{BATCH, Request, SIZES};
use crate::index::OnProgress;
use crate::store::{Directory, StoreError};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Writes shards and remembers them.
pub(super) struct Writer {
    directory: Directory,
    /// Digits in a shard's name.
    width: usize,
    /// Samples by shard.
    pub(super) sizes: BTreeMap<String, u64>,
    pub(super) bytes: u64,
}

impl Writer {
    /// For so many shards.
    pub(super) fn new(directory: Directory, shards: u64) -> Self {
        Self {
            directory,
            width: digits(shards),
            sizes: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// All usable samples, in the order of the input.
    pub(super) async fn shards(
        &mut self,
        input: &Input,
        checked: &Checked,
        request: &Request,
        on_write: OnProgress<'_>,
    ) -> Result<(), PackError> {
        let usable = (0..)
            .zip(input.pairs()?)
            .filter(|(number, _)| checked.bad.binary_search(number).is_err());
        let mut usable = usable.peekable();
        let (mut archive, mut done) = (Archive::default(), 0);
        while usable.peek().is_some() {
            let room = request.shard_samples.get() - archive.samples();
            let batch = usable
                .by_ref()
                .take(BATCH.min(usize::try_from(room).unwrap_or(BATCH)));
            let batch = batch
                .map(|(number, pair)| pair.map(|pair| (number, pair)))
                .collect::<Result<Vec<(u64, Pair)>, PackError>>()?;
            let contents: Vec<_> = batch.par_iter().map(|(_, pair)| read(pair)).collect();
            for ((number, pair), content) in batch.iter().zip(contents) {
                let content = content.map_err(|reason| PackError::Changed(pair.bad(reason)))?;
                let key = checked.keys.of(*number, pair);
                archive
                    .add(&key, &content)
                    .map_err(|source| self.broken(source))?;
                done += 1;
            }
            on_write(done, checked.usable());
            if archive.samples() == request.shard_samples.get() || usable.peek().is_none() {
                self.shard(std::mem::take(&mut archive)).await?;
            }
        }
        Ok(())
    }

    async fn shard(&mut self, archive: Archive) -> Result<(), PackError> {
        let name = self.next_name();
        let samples = archive.samples();
        let bytes = archive.finish().map_err(|source| self.broken(source))?;
        self.bytes += bytes.len() as u64;
        let written = self.directory.write(&name, bytes).await;
        written.map_err(|source| self.failed(source))?;
        self.sizes.insert(name, samples);
        Ok(())
    }

    /// The name of the shard after those that are written.
    fn next_name(&self) -> String {
        format!("{:0width$}.tar", self.sizes.len(), width = self.width)
    }

    pub(super) async fn counts(&self) -> Result<(), PackError> {
        let counts = format!("{:#}\n", serde_json::json!(self.sizes));
        let written = self.directory.write(SIZES, counts.into()).await;
        written.map_err(|source| self.failed(source))
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), PackError> {
        let removed = self.directory.remove(name).await;
        removed.map_err(|source| self.failed(source))
    }

    fn broken(&self, source: std::io::Error) -> PackError {
        PackError::Archive {
            shard: self.next_name(),
            source,
        }
    }

    fn failed(&self, source: StoreError) -> PackError {
        PackError::Write {
            shards: self.sizes.len() as u64,
            source,
        }
    }
}

/// Digits of the largest shard's number, so that names sort as numbers do; five or more.
fn digits(shards: u64) -> usize {
    shards.saturating_sub(1).to_string().len().max(5)
}
