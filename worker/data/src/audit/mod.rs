//! Proof from a run's own files that every sample of an epoch was consumed once or recorded as
//! skipped.
//!
//! The order gives each lane's samples from the seed alone. Every step takes its number of good
//! ones from every lane, and passes over those that are recorded as skipped; so steps and skips
//! together say which samples each step used. That it really used those is shown by the hash over
//! their keys, which the ranks computed from what they trained on. One walk over the order visits
//! each sample of each epoch once, so equal hashes prove that nothing is missing or double.

mod keys;
mod walk;

pub use keys::Keys;

use crate::loader::SampleKey;
use crate::order::{Mix, Order, Plan, SampleId};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use twinspan_types::{
    Cursor, Epoch, Index, IndexError, LaneId, Quarantine, ShardId, Skip, SourceId, Step,
};
use walk::{Epochs, StreamWalk};

/// Samples that a fault names at most.
const NAMED: usize = 20;

/// What a run's files say.
#[derive(Debug, Clone)]
pub struct RunFiles {
    /// The run's shards.
    pub index: Index,
    /// Seed, lanes and window.
    pub order: Order,
    /// Good samples that a lane gives to each step.
    pub samples_per_lane: u32,
    /// Shards that the run has given up.
    pub quarantines: Vec<Quarantine>,
    /// Each line of the metrics: the step, and the hash over its samples' keys.
    pub steps: Vec<(Step, u64)>,
    /// Each line of the skips.
    pub skips: Vec<Skip>,
    /// Every stream's position as the checkpoints have it.
    pub checkpoints: Vec<(Step, Vec<Cursor>)>,
}

impl RunFiles {
    /// Whether the run has given up a shard.
    #[must_use]
    pub fn is_quarantined(&self, shard: ShardId) -> bool {
        self.quarantines.iter().any(|one| one.shard == shard)
    }
}

/// What the audit found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// The last step.
    pub steps: u64,
    /// Samples that steps used.
    pub used: u64,
    /// Samples that were passed over and recorded.
    pub skipped: u64,
    /// Steps whose hash cannot be worked out, because a quarantined shard that they used samples of
    /// cannot be read any more.
    pub unproven: u64,
    /// The passes over each source, as far as the run came.
    pub epochs: Vec<EpochReport>,
    /// What is missing, double or at odds; empty for a whole ledger.
    pub faults: Vec<Fault>,
}

/// One pass over a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EpochReport {
    /// The source.
    pub source: SourceId,
    /// The pass's number.
    pub epoch: Epoch,
    /// Samples of the source.
    pub samples: u64,
    /// Of them used.
    pub used: u64,
    /// Of them recorded as skipped.
    pub skipped: u64,
}

impl EpochReport {
    /// Samples that the run has not come to.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.samples - self.used - self.skipped
    }
}

/// Something that a whole ledger does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// A step without a line.
    #[error(
        "step {step} is missing from the metrics, and with it {}",
        named(samples)
    )]
    MissingStep {
        /// The step.
        step: Step,
        /// The first of its samples.
        samples: Vec<String>,
    },
    /// A step with several lines.
    #[error("step {step} stands {times} times in the metrics: its samples are double")]
    DoubleStep {
        /// The step.
        step: Step,
        /// Its lines.
        times: usize,
    },
    /// A step that used others than the order's samples.
    #[error(
        "step {step} did not use the samples that the order gives: their hash is {recorded:016x} \
         and not {expected:016x}"
    )]
    OtherSamples {
        /// The step.
        step: Step,
        /// The hash of the order's samples.
        expected: u64,
        /// The hash in the metrics.
        recorded: u64,
    },
    /// A sample that is neither in its shard nor recorded as skipped.
    #[error("step {step}: sample #{index} of {shard} is not there and not recorded as skipped")]
    MissingSample {
        /// The step that comes to it.
        step: Step,
        /// Its shard.
        shard: String,
        /// Samples before it in the shard.
        index: u64,
    },
    /// A skip at which the walk never came by, so that its sample was also used, or never due.
    #[error(
        "{key} of {shard} is recorded as skipped at step {step}, where the order does not come to it"
    )]
    UnmetSkip {
        /// The step in the record.
        step: Step,
        /// The sample's shard.
        shard: String,
        /// Its key.
        key: String,
    },
    /// A checkpoint's positions are not the order's.
    #[error(
        "the checkpoint of step {step} has lane {lane} at another position than the steps give"
    )]
    OtherCursor {
        /// The step.
        step: Step,
        /// The first lane that differs.
        lane: LaneId,
    },
}

fn named(samples: &[String]) -> String {
    format!("{} and what follows them", samples.join(", "))
}

/// Walks over the order and compares.
///
/// # Errors
/// When the index does not fit the lanes.
pub fn audit(files: &RunFiles, keys: &Keys) -> Result<AuditReport, IndexError> {
    let plan = Plan::new(&files.index, files.order)?;
    let mix = plan.mix().clone();
    let mut lines: BTreeMap<Step, Vec<u64>> = BTreeMap::new();
    for (step, hash) in &files.steps {
        lines.entry(*step).or_default().push(*hash);
    }
    let last = lines.keys().next_back().copied().unwrap_or_default();
    let mut walk = Audit {
        files,
        mix,
        keys,
        skips: HashMap::new(),
        counts: BTreeMap::new(),
        report: AuditReport {
            steps: last.0,
            ..AuditReport::default()
        },
    };
    for skip in &files.skips {
        let place = (skip.lane, skip.epoch, skip.step);
        walk.skips.entry(place).or_default().push(skip);
    }
    let lanes = (0..files.order.lanes.max(1)).map(LaneId);
    let streams: Vec<_> = lanes
        .flat_map(|lane| plan.streams(lane).map(move |(_, source)| (lane, source)))
        .collect();
    let mut epochs = Epochs::new(plan);
    let mut streams: Vec<StreamWalk> = streams
        .into_iter()
        .map(|(lane, source)| StreamWalk::new(lane, source, &mut epochs))
        .collect();
    for step in (1..=last.0).map(Step) {
        walk.step(step, lines.get(&step), &mut streams, &mut epochs);
    }
    Ok(walk.finish())
}

struct Audit<'f> {
    files: &'f RunFiles,
    mix: Mix,
    keys: &'f Keys,
    /// Skips that the walk has not come to.
    skips: HashMap<(LaneId, Epoch, Step), Vec<&'f Skip>>,
    /// Used and skipped by source and epoch.
    counts: BTreeMap<(SourceId, Epoch), (u64, u64)>,
    report: AuditReport,
}

impl<'f> Audit<'f> {
    fn step(
        &mut self,
        step: Step,
        lines: Option<&Vec<u64>>,
        streams: &mut [StreamWalk],
        epochs: &mut Epochs,
    ) {
        let (mut hash, mut names, mut unproven) = (0_u64, Vec::new(), false);
        let sources = self.files.index.sources.len().max(1);
        for streams in streams.chunks_mut(sources) {
            let lane = streams[0].lane();
            let per_lane = self.files.samples_per_lane;
            let draws: Vec<SourceId> = self.mix.sources(lane, step, per_lane).collect();
            for source in draws {
                let stream = &mut streams[source.index()];
                let sample = loop {
                    let sample = stream.next(epochs);
                    if !self.is_skipped(step, source, sample) {
                        break sample;
                    }
                };
                self.report.used += 1;
                self.counts.entry((source, sample.epoch)).or_default().0 += 1;
                match self.keys.key(sample.shard, sample.index_in_shard) {
                    Some(key) => {
                        let key = key.to_owned();
                        if lines.is_none() && names.len() < NAMED {
                            names.push(key.clone());
                        }
                        let SampleId {
                            epoch, lane, shard, ..
                        } = sample;
                        let used = SampleKey {
                            epoch,
                            lane,
                            shard,
                            key,
                        };
                        hash = hash.wrapping_add(used.hash());
                    }
                    None if self.keys.are_unknown(sample.shard) => unproven = true,
                    None => self.report.faults.push(Fault::MissingSample {
                        step,
                        shard: self.files.index.shard(sample.shard).url.clone(),
                        index: sample.index_in_shard,
                    }),
                }
            }
        }
        match lines.map(Vec::as_slice) {
            None => self.report.faults.push(Fault::MissingStep {
                step,
                samples: names,
            }),
            Some([_]) if unproven => self.report.unproven += 1,
            Some([recorded]) if *recorded == hash => {}
            Some([recorded]) => self.report.faults.push(Fault::OtherSamples {
                step,
                expected: hash,
                recorded: *recorded,
            }),
            Some(lines) => self.report.faults.push(Fault::DoubleStep {
                step,
                times: lines.len(),
            }),
        }
        self.compare_checkpoints(step, streams);
    }

    /// Whether the record has the sample as skipped: by its key, or by its number where the shard
    /// ends before it.
    fn is_skipped(&mut self, step: Step, source: SourceId, sample: SampleId) -> bool {
        let Some(due) = self.skips.get_mut(&(sample.lane, sample.epoch, step)) else {
            return false;
        };
        let shard = &self.files.index.shard(sample.shard).url;
        let key = self.keys.key(sample.shard, sample.index_in_shard);
        let number = format!("#{}", sample.index_in_shard);
        let is_it =
            |skip: &&Skip| skip.shard == *shard && (Some(&*skip.key) == key || skip.key == number);
        let Some(at) = due.iter().position(is_it) else {
            return false;
        };
        due.swap_remove(at);
        self.report.skipped += 1;
        self.counts.entry((source, sample.epoch)).or_default().1 += 1;
        true
    }

    fn compare_checkpoints(&mut self, step: Step, streams: &[StreamWalk]) {
        for (at, cursors) in &self.files.checkpoints {
            let differs = |(place, stream): &(usize, &StreamWalk)| {
                cursors.get(*place) != Some(&stream.cursor())
            };
            if *at == step
                && let Some((_, stream)) = streams.iter().enumerate().find(differs)
            {
                let lane = stream.lane();
                self.report.faults.push(Fault::OtherCursor { step, lane });
            }
        }
    }

    fn finish(mut self) -> AuditReport {
        let mut unmet: Vec<&Skip> = self.skips.into_values().flatten().collect();
        unmet.sort_by_key(|skip| (skip.step, skip.lane, &skip.key));
        let unmet = unmet.into_iter().map(|skip| Fault::UnmetSkip {
            step: skip.step,
            shard: skip.shard.clone(),
            key: skip.key.clone(),
        });
        self.report.faults.extend(unmet);
        let index = &self.files.index;
        self.report.epochs = self
            .counts
            .into_iter()
            .map(|((source, epoch), (used, skipped))| EpochReport {
                source,
                epoch,
                samples: index.samples_of(source),
                used,
                skipped,
            })
            .collect();
        self.report
    }
}
