//! The dataset's shards and how many samples each holds.

use crate::config::Captions;
use crate::{LaneId, ShardId, SourceId, StreamId};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// All shards of a run's training data in a fixed order: `index.json` of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The sources that batches are mixed of.
    pub sources: Vec<SourceEntry>,
    /// The shards of all sources, source by source.
    pub shards: Vec<ShardEntry>,
}

/// One source as the index knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceEntry {
    /// How many of the index's shards are its.
    pub shards: u32,
    /// Its part of every batch, in proportion to the other sources' weights.
    pub weight: f64,
    /// Where its samples keep their captions.
    pub captions: Captions,
}

/// One shard as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Where it lies, as an object-store URL.
    pub url: String,
    /// Its samples.
    pub samples: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The store's entity tag, where it gives one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub etag: Option<String>,
}

/// Why an index cannot be trained on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IndexError {
    /// Fewer samples than lanes.
    #[error(
        "data.sources[{source_id}] holds {samples} samples, fewer than data.lanes {lanes}: lower data.lanes or add shards"
    )]
    FewerSamplesThanLanes {
        /// The source.
        source_id: SourceId,
        /// Its samples.
        samples: u64,
        /// Lanes asked for.
        lanes: u32,
    },
    /// A batch that holds samples twice.
    #[error(
        "the index holds {samples} samples, fewer than train.global_batch {batch}: a sample would \
         stand twice in a batch; lower train.global_batch or add shards"
    )]
    FewerSamplesThanBatch {
        /// Samples in the index.
        samples: u64,
        /// Samples of a step.
        batch: u32,
    },
}

impl Index {
    /// The index of one source with captions in `.txt` members.
    #[must_use]
    pub fn of_one_source(shards: Vec<ShardEntry>) -> Self {
        let source = SourceEntry {
            shards: u32::try_from(shards.len()).unwrap_or(u32::MAX),
            weight: 1.0,
            captions: Captions::default(),
        };
        Self {
            sources: vec![source],
            shards,
        }
    }

    /// Samples of all shards together.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.shards.iter().map(|shard| shard.samples).sum()
    }

    /// The shard with this id.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> &ShardEntry {
        &self.shards[id.index()]
    }

    /// The ids of the sources.
    pub fn source_ids(&self) -> impl Iterator<Item = SourceId> + use<> {
        (0..self.source_count()).map(SourceId)
    }

    /// How many sources there are.
    #[must_use]
    pub fn source_count(&self) -> u32 {
        u32::try_from(self.sources.len()).unwrap_or(u32::MAX)
    }

    /// The places of a source's shards.
    #[must_use]
    pub fn shards_of(&self, source: SourceId) -> Range<u32> {
        let counts = self.sources.iter().map(|source| source.shards);
        let start = counts.clone().take(source.index()).sum();
        start..start + counts.skip(source.index()).take(1).sum::<u32>()
    }

    /// Samples of one source: the length of its epoch.
    #[must_use]
    pub fn samples_of(&self, source: SourceId) -> u64 {
        let shards = self.shards_of(source).map(ShardId);
        shards.map(|id| self.shard(id).samples).sum()
    }

    /// The source that a shard belongs to.
    #[must_use]
    pub fn source_of(&self, shard: ShardId) -> SourceId {
        let mut ids = self.source_ids();
        let source = ids.find(|source| self.shards_of(*source).contains(&shard.0));
        source.unwrap_or_default()
    }

    /// Where a shard's samples keep their captions.
    #[must_use]
    pub fn captions(&self, shard: ShardId) -> &Captions {
        &self.sources[self.source_of(shard).index()].captions
    }

    /// The stream of a lane and a source.
    #[must_use]
    pub fn stream(&self, lane: LaneId, source: SourceId) -> StreamId {
        StreamId(lane.0 * self.source_count() + source.0)
    }

    /// Checks that a step's samples are different ones, and the lanes as [`Self::check_lanes`].
    ///
    /// # Errors
    /// When there are fewer samples than lanes or than a batch takes.
    pub fn check_batch(&self, lanes: u32, batch: u32) -> Result<(), IndexError> {
        self.check_lanes(lanes)?;
        match self.samples() {
            samples if samples < u64::from(batch) => {
                Err(IndexError::FewerSamplesThanBatch { samples, batch })
            }
            _ => Ok(()),
        }
    }

    /// Checks that every lane of every epoch holds at least one sample of each source.
    ///
    /// # Errors
    /// When a source has fewer samples than there are lanes.
    pub fn check_lanes(&self, lanes: u32) -> Result<(), IndexError> {
        for source_id in self.source_ids() {
            let samples = self.samples_of(source_id);
            if samples < u64::from(lanes) {
                return Err(IndexError::FewerSamplesThanLanes {
                    source_id,
                    samples,
                    lanes,
                });
            }
        }
        Ok(())
    }
}
