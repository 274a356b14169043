//! What is shown of the run: the core's own look at it, and what went by.
//!
//! A plain structure without a clock: it is fed with what the core decides and what became of it,
//! and gives the documents of the HTTP API.

mod checkpoints;
mod document;
mod history;
mod lanes;
mod past;
mod points;
mod ranks;
mod run;
#[cfg(test)]
pub mod sample;
mod skips;
mod steps;
mod timeline;
mod words;
mod world;

pub use document::Document;
pub use past::Past;

use checkpoints::Checkpoints;
use history::{History, Point};
use lanes::Lanes;
use ranks::Ranks;
use run::{Identity, Pace};
use skips::Skips;
use std::time::Duration;
use steps::Steps;
use timeline::{Kind, Timeline};
use twinspan_coordinator_core::{Action, Topic};
use twinspan_data::Order;
use twinspan_types::{
    CheckpointName, Evaluation, Fact, Generation, Index, IndexError, PartsStored, Rank, RankTrace,
    RunConfig, RunStatus, Step, StepReport,
};
use world::Seats;

/// What is shown of one run.
#[derive(Debug)]
pub struct View {
    identity: Identity,
    seats: Seats,
    history: History,
    pace: Pace,
    ranks: Ranks,
    steps: Steps,
    timeline: Timeline,
    checkpoints: Checkpoints,
    skips: Skips,
    lanes: Lanes,
    /// The newest step that was told of.
    step: Step,
    /// Workers that this coordinator has lost.
    lost: u64,
    /// When it first did anything, since 1970.
    began: Option<Duration>,
}

impl View {
    /// Of a run that has this behind it.
    ///
    /// # Errors
    /// The dataset holds too few samples for its lanes.
    pub fn new(config: &RunConfig, index: Index, past: Past) -> Result<Self, IndexError> {
        let order = Order {
            seed: config.seed,
            lanes: config.data.lanes,
            shuffle_window: config.data.shuffle_window,
        };
        let mut view = Self {
            identity: Identity {
                run: config.run.clone(),
                url: config.url(),
                workers: config.cluster.workers.0,
            },
            seats: Seats::default(),
            history: History::default(),
            pace: Pace::default(),
            ranks: Ranks::default(),
            steps: Steps::of(&config.url()),
            timeline: Timeline::default(),
            checkpoints: Checkpoints::default(),
            skips: Skips::default(),
            lanes: Lanes::new(index, order)?,
            step: past.step(),
            lost: 0,
            began: None,
        };
        view.recover(past);
        Ok(view)
    }

    fn recover(&mut self, past: Past) {
        past.points
            .into_iter()
            .for_each(|point| self.history.add(point));
        self.history.add_evaluations(&past.evaluations);
        self.skips.add(&past.skips);
        for quarantine in &past.quarantines {
            self.lanes.quarantine(quarantine);
        }
        for manifest in &past.manifests {
            self.checkpoints.recover(manifest);
            self.lanes.moved(&manifest.cursors);
        }
        if let Some(world) = past.world {
            self.seats = Seats::new(world.generation, &world.members, &world.lanes);
            self.ranks.seat(self.seats.workers());
        }
    }

    /// Takes note of what the core wants done. Times are since 1970.
    pub fn note(&mut self, now: Duration, action: &Action) {
        self.began.get_or_insert(now);
        match action {
            Action::AppendMetrics(_, steps) => self.stepped(steps),
            Action::AppendEvaluations(_, evaluations) => self.evaluated(now, evaluations),
            Action::AppendSkips(_, skips) => self.skips.add(skips),
            Action::StoreManifest(manifest) => self.checkpoints.complete(now, manifest),
            Action::Trace(rank, traces) => self.traced(*rank, traces),
            Action::Tell(topic, text) => self.told(now, *topic, text),
            Action::Finish(outcome) => self.add(now, Kind::End, words::outcome(outcome)),
            Action::Reply(..)
            | Action::Log(_)
            | Action::RemoveCheckpoint(_)
            | Action::FlushSegments => {}
        }
    }

    /// Takes note of a fact that is in the log.
    pub fn logged(&mut self, now: Duration, fact: &Fact) {
        match fact {
            Fact::WorldFormed {
                generation,
                members,
                lanes,
                start,
            } => {
                self.seats = Seats::new(*generation, members, lanes);
                self.ranks.seat(self.seats.workers());
                self.history.restart(*start);
                self.skips.restart(*start);
                self.step = self.step.min(*start);
                let text = words::generation(*generation, members.len(), *start);
                self.timeline
                    .add(now, Kind::Generation, (*generation, *start), text);
            }
            Fact::CheckpointCommitted { name, generation } => {
                self.checkpoints.commit(now, *name);
                let text = words::checkpoint(self.checkpoints.newest(), name);
                let at = (*generation, name.step);
                self.timeline.add(now, Kind::Checkpoint, at, text);
            }
            Fact::CheckpointRetired { name } | Fact::CheckpointDamaged { name, .. } => {
                self.checkpoints.retire(*name);
            }
            Fact::ShardQuarantined(quarantine) => {
                self.lanes.quarantine(quarantine);
                self.add(now, Kind::Quarantine, words::quarantine(quarantine));
            }
            // The core tells of these in words.
            Fact::RolledBack { .. } | Fact::StatesDiverged { .. } => {}
            Fact::TermOpened { .. } | Fact::RunEnded { .. } => {}
        }
    }

    /// A rank says that it has stored parts of a checkpoint.
    pub fn parts_stored(&mut self, now: Duration, stored: &PartsStored) {
        let name = CheckpointName {
            step: stored.step,
            attempt: stored.attempt,
        };
        self.checkpoints.part_stored(now, name);
    }

    /// Takes note of the machines that the workers are on.
    pub fn meet(&mut self, status: &RunStatus) {
        self.seats.meet(status.ranks.iter());
    }

    /// Samples that the run was trained on.
    fn samples(&self, status: &RunStatus) -> u64 {
        status.step.0.saturating_mul(status.global_batch)
    }

    fn stepped(&mut self, steps: &[StepReport]) {
        for report in steps {
            self.history.add(Point::from(report));
            self.pace.stepped(report.metrics.batch_time);
        }
        if let Some(newest) = steps.last() {
            self.step = newest.step;
            self.lanes.moved(&newest.cursors);
        }
    }

    fn evaluated(&mut self, now: Duration, evaluations: &[Evaluation]) {
        self.history.add_evaluations(evaluations);
        for evaluation in evaluations {
            let at = (self.generation(), evaluation.step);
            let text = words::evaluation(evaluation);
            self.timeline.add(now, Kind::Evaluation, at, text);
        }
    }

    fn traced(&mut self, rank: Rank, traces: &[RankTrace]) {
        for trace in traces {
            self.ranks.take(rank, trace);
            self.steps.take(rank, trace, &self.seats);
        }
    }

    fn told(&mut self, now: Duration, topic: Topic, text: &str) {
        let kind = match topic {
            // Their records were shown.
            Topic::Formed | Topic::Saved => return,
            Topic::Adopted => Kind::Generation,
            Topic::Lost => Kind::Lost,
            Topic::Rollback => Kind::Rollback,
            Topic::Straggler => Kind::Straggler,
            Topic::Notice => Kind::Notice,
        };
        self.lost += u64::from(topic == Topic::Lost);
        self.add(now, kind, text.to_owned());
    }

    fn add(&mut self, now: Duration, kind: Kind, text: String) {
        let at = (self.generation(), self.step);
        self.timeline.add(now, kind, at, text);
    }

    fn generation(&self) -> Generation {
        self.seats.generation
    }
}

#[cfg(test)]
mod tests;
