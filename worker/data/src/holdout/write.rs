//! Both parts as shards of their own.

use super::labels::Labels;
use super::{HoldOutError, is_held_out};
use crate::dataset::{CLASS_NAMES, EvalError, EvalSet, LABEL, SHARD_COUNT, TEMPLATES};
use crate::index::{self, OnProgress};
use crate::pack::{Archive, SIZES};
use crate::shard::StoredShard;
use crate::store::{Directory, Stores};
use crate::tar::Sample;
use bytes::Bytes;
use std::collections::BTreeMap;
use twinspan_types::Index;

/// Folder of the shards that are trained on, one folder below it for each source.
pub const HELD_IN: &str = "held-in";
/// Folder of the others: a classification set in CLIP_benchmark's layout.
pub const HELD_OUT: &str = "held-out";
/// Samples in a shard.
const SHARD_SAMPLES: u64 = 1000;

/// Writes both parts of a run's shards to a directory: below [`HELD_IN`]`/{source}/` what is trained
/// on, as it is, and in [`HELD_OUT`] the rest with the labels, class names and templates that they
/// are measured with. `on_progress` hears of samples.
///
/// # Errors
/// A shard cannot be read or made, or the store fails.
pub async fn write_split(
    index: &Index,
    labels: &Labels,
    set: &EvalSet,
    out: &Directory,
    on_progress: OnProgress<'_>,
) -> Result<(), HoldOutError> {
    let stores = Stores::default();
    let mut held_out = Shards::new(out, format!("{HELD_OUT}/test"), 1);
    let mut done = 0;
    for source in index.source_ids() {
        let mut held_in = Shards::new(out, format!("{HELD_IN}/{}", source.0), 5);
        for number in index.shards_of(source) {
            let object = index::object(&index.shards[number as usize]);
            let mut reader = StoredShard::samples(&stores, &object)?;
            let bad = |error| EvalError::of_shard(&object.url, error);
            while let Some(sample) = reader.next(|_| true).await.map_err(bad)? {
                match is_held_out(&sample.key) {
                    true => held_out.add(labelled(sample, labels)).await?,
                    false => held_in.add(sample).await?,
                }
                done += 1;
                on_progress(done, index.samples());
            }
        }
        held_in.finish().await?;
        let sizes = format!("{:#}\n", serde_json::json!(held_in.sizes));
        out.write(&format!("{}/{SIZES}", held_in.folder), sizes.into())
            .await?;
    }
    held_out.finish().await?;
    let files = [
        (SHARD_COUNT, held_out.sizes.len().to_string()),
        (CLASS_NAMES, set.classes.join("\n")),
        (TEMPLATES, set.templates.join("\n")),
    ];
    for (file, text) in files {
        let file = format!("{HELD_OUT}/{file}");
        out.write(&file, format!("{text}\n").into()).await?;
    }
    Ok(())
}

/// The sample with its label as its `.cls` member.
fn labelled(mut sample: Sample, labels: &Labels) -> Sample {
    let label = labels.of(&sample.key);
    sample.members.retain(|(extension, _)| extension != LABEL);
    let label = label.map(|label| (LABEL.to_owned(), Bytes::from(label.to_string())));
    sample.members.extend(label);
    sample
}

/// Shards of one folder, one of them in memory.
struct Shards<'d> {
    out: &'d Directory,
    folder: String,
    /// Digits in a shard's name.
    width: usize,
    archive: Archive,
    /// Samples by shard.
    sizes: BTreeMap<String, u64>,
}

impl<'d> Shards<'d> {
    fn new(out: &'d Directory, folder: String, width: usize) -> Self {
        Self {
            out,
            folder,
            width,
            archive: Archive::default(),
            sizes: BTreeMap::new(),
        }
    }

    async fn add(&mut self, sample: Sample) -> Result<(), HoldOutError> {
        let copied = self.archive.copy(&sample);
        copied.map_err(|source| self.broken(source))?;
        match self.archive.samples() {
            SHARD_SAMPLES => self.finish().await,
            _ => Ok(()),
        }
    }

    /// Writes the shard that is in memory, where there is something in it.
    async fn finish(&mut self) -> Result<(), HoldOutError> {
        let archive = std::mem::take(&mut self.archive);
        let samples = archive.samples();
        if samples == 0 {
            return Ok(());
        }
        let bytes = archive.finish().map_err(|source| self.broken(source))?;
        self.out
            .write(&format!("{}/{}", self.folder, self.name()), bytes)
            .await?;
        self.sizes.insert(self.name(), samples);
        Ok(())
    }

    fn name(&self) -> String {
        format!("{:0width$}.tar", self.sizes.len(), width = self.width)
    }

    fn broken(&self, source: std::io::Error) -> HoldOutError {
        let file = format!("{}/{}", self.folder, self.name());
        HoldOutError::Archive {
            file: self.out.url_of(&file),
            source,
        }
    }
}
