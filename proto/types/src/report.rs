//! What workers tell the coordinator.

use crate::{Cursor, Epoch, LaneId, Step};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a rank is within a step; a heartbeat carries it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Joined, waiting for a world.
    #[default]
    Joining,
    /// Reading a checkpoint, connecting to peers.
    Healing,
    /// Waiting for samples.
    DataWait,
    /// In the towers or the loss.
    Compute,
    /// In a collective.
    Collective,
    /// Waiting for a checkpoint's upload.
    Checkpoint,
    /// At the last step, waiting for the evaluation of its weights.
    Evaluation,
    /// Done; about to leave.
    Leaving,
}

/// One committed step as rank 0 saw it, in open_clip's metric names when written to
/// `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMetrics {
    /// The full-batch contrastive loss.
    pub loss: f64,
    /// exp of the learned temperature, after the step.
    pub logit_scale: f64,
    /// The learning rate of the step.
    pub lr: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// Seconds that the rank waited for samples.
    pub data_time: f64,
    /// Seconds of the whole step.
    pub batch_time: f64,
    /// Global samples a second.
    pub samples_per_second: f64,
}

/// One committed step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step that was committed.
    pub step: Step,
    /// Its metrics.
    pub metrics: StepMetrics,
    /// Every stream's position after it, by stream.
    pub cursors: Vec<Cursor>,
    /// Hash of the keys of all samples of the global batch, the same in every world.
    pub sample_hash: u64,
    /// Samples that all ranks together passed over in it.
    pub skips: Vec<Skip>,
}

/// What the weights of one step are worth on the run's evaluation sets: a line of its own in
/// `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The step whose weights were measured.
    pub step: Step,
    /// By name, as [`crate::config::EvalConfig`] gives them. A set that could not be read has none.
    pub metrics: BTreeMap<String, f64>,
}

/// A sample that could not be used: one line of `skipped.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Skip {
    /// The step whose batch it would have been in.
    pub step: Step,
    /// The lane that held it.
    pub lane: LaneId,
    /// The pass over the dataset.
    pub epoch: Epoch,
    /// URL of its shard.
    pub shard: String,
    /// Its webdataset key, or `#n` for the n-th sample of a shard that ends before it.
    pub key: String,
    /// Why.
    pub reason: SkipReason,
    /// The decoder's words.
    pub detail: String,
}

/// Why a sample could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No member with a picture's extension.
    MissingImage,
    /// No `.txt` member.
    MissingCaption,
    /// The picture's bytes do not decode.
    CorruptImage,
    /// The caption is not UTF-8.
    UndecodableText,
    /// The shard ends before the sample that the index counts.
    TruncatedShard,
    /// The shard cannot be read any more.
    QuarantinedShard,
}
