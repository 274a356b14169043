//! What a core is told when it is made.

use std::time::Duration;
use twinspan_types::config::CheckpointConfig;
use twinspan_types::{
    CheckpointName, Fact, Generation, LaneTable, Member, Quarantine, RunConfig, Skip, Step, Term,
    WorldSize,
};

/// The numbers of a run that its decisions depend on.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The run's name.
    pub run: String,
    /// The run's seed, for manifests.
    pub seed: u64,
    /// Samples of one step.
    pub global_batch: u32,
    /// Steps of the whole run.
    pub total_steps: Step,
    /// Lanes that the dataset is cut into.
    pub lanes: u32,
    /// Positions that make up a place in the data: one for every lane and source.
    pub streams: u32,
    /// Lanes that are dealt together.
    pub lane_group: u32,
    /// Workers that the first world is formed of.
    pub workers: WorldSize,
    /// Workers without which the run waits.
    pub min_workers: WorldSize,
    /// Workers that can take part.
    pub max_workers: WorldSize,
    /// When checkpoints are written and which are kept.
    pub checkpoint: CheckpointConfig,
    /// Silence of a worker, while the step stands still, after which it is lost.
    pub heartbeat_timeout: Duration,
    /// Longest wait for all workers to join.
    pub join_timeout: Duration,
    /// Longest time of a step's phase without progress, and longest wait for a worker that is heard
    /// to leave a broken generation.
    pub step_timeout: Duration,
    /// How long workers that come or go are gathered before another generation is formed for them.
    pub join_window: Duration,
    /// How long workers can go on without this coordinator.
    pub lease_ahead: Duration,
    /// Share of the dataset's samples that may be passed over.
    pub max_skip_fraction: f64,
    /// Samples of the dataset.
    pub dataset_samples: u64,
}

impl CoreConfig {
    /// The numbers of a run file, with the index's count of samples.
    #[must_use]
    pub fn new(config: &RunConfig, dataset_samples: u64) -> Self {
        Self {
            run: config.run.clone(),
            seed: config.seed,
            global_batch: config.train.global_batch,
            total_steps: config.train.steps,
            lanes: config.data.lanes,
            streams: config.streams(),
            lane_group: config.data.lane_group,
            workers: config.cluster.workers,
            min_workers: config.cluster.min_workers,
            max_workers: config.cluster.max_workers,
            checkpoint: config.checkpoint.clone(),
            heartbeat_timeout: config.cluster.heartbeat_timeout,
            join_timeout: config.cluster.join_timeout,
            step_timeout: config.cluster.step_timeout,
            join_window: config.cluster.join_window,
            lease_ahead: Duration::from_secs(config.data.lease_ahead_seconds),
            max_skip_fraction: config.data.max_skip_fraction,
            dataset_samples,
        }
    }
}

/// What the log and the store hold when a term opens.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// The term that was opened for this core.
    pub term: Term,
    /// The generations that any term formed, and the steps that they started from.
    pub worlds: Vec<(Generation, Step)>,
    /// The last generation, if its workers may be at work still.
    pub at_work: Option<LoggedWorld>,
    /// Checkpoints in force and the generations that wrote them, in the order of their records.
    pub kept: Vec<(CheckpointName, Generation)>,
    /// The last step that the run's files hold the metrics of.
    pub reported: Step,
    /// The last step that they hold an evaluation of.
    pub evaluated: Step,
    /// Samples that were passed over up to that step.
    pub skips: Vec<Skip>,
    /// Shards that were given up, by any term.
    pub quarantines: Vec<Quarantine>,
    /// Steps of each rollback, by any term.
    pub rollbacks: Vec<Vec<Step>>,
}

/// A generation as its record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedWorld {
    /// Its number.
    pub generation: Generation,
    /// Its ranks.
    pub members: Vec<Member>,
    /// Which rank reads which lane.
    pub lanes: LaneTable,
    /// The last committed step that it started from.
    pub start: Step,
}

impl Recovered {
    /// What follows from the facts of a log alone, in their order.
    pub fn replay<'f>(term: Term, facts: impl IntoIterator<Item = &'f Fact>) -> Self {
        let mut recovered = Self {
            term,
            ..Self::default()
        };
        facts.into_iter().for_each(|fact| recovered.take(fact));
        recovered
    }

    fn take(&mut self, fact: &Fact) {
        match fact {
            Fact::WorldFormed {
                generation,
                members,
                lanes,
                start,
            } => {
                self.worlds.push((*generation, *start));
                self.at_work = Some(LoggedWorld {
                    generation: *generation,
                    members: members.clone(),
                    lanes: lanes.clone(),
                    start: *start,
                });
            }
            Fact::CheckpointCommitted { name, generation } => {
                self.kept.push((*name, *generation));
            }
            Fact::CheckpointRetired { name } => self.kept.retain(|(kept, _)| kept != name),
            Fact::CheckpointDamaged { name, .. } => {
                self.kept.retain(|(kept, _)| kept != name);
                self.at_work = None;
            }
            Fact::RolledBack { steps, .. } => {
                self.rollbacks.push(steps.clone());
                self.at_work = None;
            }
            Fact::ShardQuarantined(quarantine) => self.quarantines.push(quarantine.clone()),
            Fact::StatesDiverged { .. } | Fact::RunEnded { .. } => self.at_work = None,
            Fact::TermOpened { .. } => {}
        }
    }
}
