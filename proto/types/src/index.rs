//! The dataset's shards and how many samples each holds.

use crate::ShardId;
use serde::{Deserialize, Serialize};

/// All shards of a run's training data in a fixed order: `index.json` of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The shards, in the order of their URLs.
    pub shards: Vec<ShardEntry>,
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
        "the index holds {samples} samples, fewer than data.lanes {lanes}: lower data.lanes or add shards"
    )]
    FewerSamplesThanLanes {
        /// Samples in the index.
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
    /// Samples of all shards together: the length of an epoch.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.shards.iter().map(|shard| shard.samples).sum()
    }

    /// The shard with this id.
    #[must_use]
    pub fn shard(&self, id: ShardId) -> &ShardEntry {
        &self.shards[id.index()]
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

    /// Checks that every lane of every epoch holds at least one sample.
    ///
    /// # Errors
    /// When there are fewer samples than lanes.
    pub fn check_lanes(&self, lanes: u32) -> Result<(), IndexError> {
        match self.samples() {
            samples if samples < u64::from(lanes) => {
                Err(IndexError::FewerSamplesThanLanes { samples, lanes })
            }
            _ => Ok(()),
        }
    }
}
