//! What a checked run file holds.

use super::{
    AugmentationConfig, Captions, CollectiveChoice, EvalConfig, ModelSection, Precision,
    TelemetryConfig, WorkerSection,
};
use crate::{Step, WorldSize};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A run, checked: every number is in its range and the numbers fit each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    /// The run's name: one directory below `output`.
    pub run: String,
    /// Object-store URL below which runs are kept.
    pub output: String,
    /// Decides data order, augmentation and initial weights.
    pub seed: u64,
    /// What is trained, and from which weights.
    pub model: ModelSection,
    /// Where the samples come from and in what order.
    pub data: DataConfig,
    /// How much is trained.
    pub train: TrainConfig,
    /// The update.
    pub optimizer: OptimizerConfig,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// Workers, addresses and time limits.
    pub cluster: ClusterConfig,
    /// What workers compute on.
    pub worker: WorkerSection,
    /// What is measured while the run goes on and when it ends.
    pub eval: EvalConfig,
    /// What the run tells of itself, and where.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// Where the samples come from and in what order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataConfig {
    /// What batches are mixed of: one source where the file says `data.train`.
    pub sources: Vec<DataSource>,
    /// Fixed, ordered streams that the dataset is cut into.
    pub lanes: u32,
    /// Lanes that are dealt to ranks together; batch norm takes its statistics over one group.
    pub lane_group: u32,
    /// Samples within which a lane is shuffled.
    pub shuffle_window: u64,
    /// Local disk that keeps what was read of remote shards; absent: nothing is kept.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cache: Option<CacheConfig>,
    /// Memory for samples read ahead, in bytes, of one worker.
    pub prefetch_bytes: u64,
    /// Share of the dataset's samples that may be skipped before the run stops.
    pub max_skip_fraction: f64,
    /// Area of the random crop, as the smallest share of the picture.
    pub crop_scale_min: f64,
    /// What training pictures go through after the crop. As the crop, it may change in a run that
    /// goes on: it is no part of the run's identity.
    #[serde(skip_serializing_if = "AugmentationConfig::is_off", default)]
    pub augmentation: AugmentationConfig,
    /// Threads that decode, of one worker; 0 means as many as the worker computes with.
    pub decode_threads: u32,
    /// How long workers may read ahead of the coordinator's word, and so go on without it.
    pub lease_ahead_seconds: u64,
}

/// A local disk that keeps what was read of remote shards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheConfig {
    /// The folder, on every worker's machine.
    pub dir: PathBuf,
    /// Bytes that one worker keeps in it.
    pub size: u64,
}

/// Shards that are drawn from together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSource {
    /// Shard URLs with braces expanded, or prefixes ending in `/`.
    pub urls: Vec<String>,
    /// Its part of every batch, in proportion to the other sources' weights; absent: as many as it
    /// has samples.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub weight: Option<f64>,
    /// Where its samples keep their captions.
    pub captions: Captions,
}

impl DataSource {
    /// What decides its samples, in one line.
    fn identity(&self) -> String {
        let urls = self.urls.join(" ");
        match self.weight {
            Some(weight) => format!("{urls} weight {weight} captions {}", self.captions),
            None => format!("{urls} captions {}", self.captions),
        }
    }
}

/// How much is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Samples of one step over all ranks.
    pub global_batch: u32,
    /// Optimiser updates of the whole run.
    pub steps: Step,
    /// Rows and columns of one tile of the loss.
    pub loss_tile: u32,
    /// Groups of similar length that a rank's captions are cut in.
    pub text_groups: u32,
    /// What the towers compute in.
    pub precision: Precision,
    /// Whether fp32's matrix products may take TF32 on NVIDIA GPUs that have it.
    pub tf32: bool,
    /// Whether activations of the towers' blocks are computed again in the backward pass, instead
    /// of being kept.
    pub recompute: bool,
}

/// The update: AdamW with a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptimizerConfig {
    /// Highest learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay of the parameters that decay.
    pub weight_decay: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// What follows the warm-up.
    pub schedule: Schedule,
    /// Steps of the final descent of [`Schedule::ConstCooldown`].
    pub cooldown: u64,
    /// Norm that the whole gradient is clipped to; absent: no clipping.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grad_clip_norm: Option<f64>,
    /// Steps in a row with a loss or gradient that is not finite before the run goes back to its
    /// newest checkpoint.
    pub max_bad_steps: u32,
}

/// The learning rate after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Half a cosine down to 0 at the last step.
    Cosine,
    /// Constant.
    Const,
    /// Constant, then linear down to 0 over the last [`OptimizerConfig::cooldown`] steps.
    ConstCooldown,
}

/// When checkpoints are written and which are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// Steps from one checkpoint to the next.
    pub every_steps: u64,
    /// Longest time from one checkpoint to the next; absent: steps alone decide.
    #[serde(with = "minutes", skip_serializing_if = "Option::is_none", default)]
    pub every_minutes: Option<Duration>,
    /// Newest checkpoints that are kept.
    pub keep_last: u32,
    /// Checkpoints at multiples of this step are kept for good; 0: none.
    pub keep_every: u64,
}

/// Workers, addresses and time limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// Workers that the first world is formed of.
    pub workers: WorldSize,
    /// Workers without which the run waits.
    pub min_workers: WorldSize,
    /// Workers that can take part.
    pub max_workers: WorldSize,
    /// `host:port` of the coordinator; port 0 takes a free one.
    pub listen: String,
    /// Silence of a worker, while the step stands still, after which it is lost.
    #[serde(with = "seconds")]
    pub heartbeat_timeout: Duration,
    /// Longest time of a collective without progress.
    #[serde(with = "seconds")]
    pub step_timeout: Duration,
    /// Longest wait for all workers to join.
    #[serde(with = "seconds")]
    pub join_timeout: Duration,
    /// How long joiners are gathered before the running workers make room for them.
    #[serde(with = "seconds")]
    pub join_window: Duration,
    /// How long the run's last coordinator must be out of reach before another takes its place.
    #[serde(with = "seconds")]
    pub takeover_after: Duration,
    /// Steps from one comparison of the ranks' states to the next; 0: they are not compared.
    pub checksum_every: u64,
    /// What carries the collectives.
    pub collective: CollectiveChoice,
}

impl RunConfig {
    /// Good samples that a lane gives to each step.
    #[must_use]
    pub fn samples_per_lane(&self) -> u32 {
        self.train.global_batch / self.data.lanes
    }

    /// Samples over which batch norm takes its statistics.
    #[must_use]
    pub fn samples_per_group(&self) -> u32 {
        self.samples_per_lane() * self.data.lane_group
    }

    /// Positions that make up a place in the data: one for every lane and source.
    #[must_use]
    pub fn streams(&self) -> u32 {
        let sources = u32::try_from(self.data.sources.len()).unwrap_or(u32::MAX);
        self.data.lanes.saturating_mul(sources)
    }

    /// The largest world: every rank has at least one group of lanes.
    #[must_use]
    pub fn max_workers(&self) -> WorldSize {
        WorldSize(self.data.lanes / self.data.lane_group)
    }

    /// The URL of this run's directory, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.output.trim_end_matches('/'), self.run)
    }

    /// What may not change when a run is continued, by its path in the file, with the value of
    /// this run and of `other` where they differ.
    #[must_use]
    pub fn identity_differences(&self, other: &Self) -> Vec<(&'static str, String, String)> {
        let sources = |data: &DataConfig| {
            let sources: Vec<String> = data.sources.iter().map(DataSource::identity).collect();
            sources.join("; ")
        };
        let pairs = [
            ("seed", self.seed.to_string(), other.seed.to_string()),
            (
                "model.config",
                self.model.config.to_string(),
                other.model.config.to_string(),
            ),
            (
                "model.init_from",
                self.model.first_weights(),
                other.model.first_weights(),
            ),
            ("data.sources", sources(&self.data), sources(&other.data)),
            (
                "data.lanes",
                self.data.lanes.to_string(),
                other.data.lanes.to_string(),
            ),
            (
                "data.lane_group",
                self.data.lane_group.to_string(),
                other.data.lane_group.to_string(),
            ),
            (
                "data.shuffle_window",
                self.data.shuffle_window.to_string(),
                other.data.shuffle_window.to_string(),
            ),
            (
                "train.global_batch",
                self.train.global_batch.to_string(),
                other.train.global_batch.to_string(),
            ),
        ];
        pairs
            .into_iter()
            .filter(|(_, ours, theirs)| ours != theirs)
            .collect()
    }
}

/// Times as the number of minutes that the reader of run files takes.
mod minutes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(|time| time.as_secs_f64() / 60.0).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let minutes = Option::<f64>::deserialize(from)?;
        let time = minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0));
        time.transpose().map_err(serde::de::Error::custom)
    }
}

/// Times as the number of seconds that the reader of run files takes.
mod seconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
