//! What goes into the run's files: segments, manifests, records.

use crate::active::{Run, Stage};
use crate::attempts::Complete;
use crate::core::Core;
use crate::message::{Action, Outcome, Topic};
use std::time::Duration;
use twinspan_types::{CheckpointName, Fact, MANIFEST_VERSION, Manifest, Step};

/// How long the ranks may take to deliver what is left after the last checkpoint.
const LEAVING: Duration = Duration::from_secs(10);

/// A flush that is on its way, and what the run's files will hold after it.
#[derive(Debug)]
pub(crate) struct Flush {
    /// The last step.
    pub(crate) step: Step,
    /// The last evaluation.
    pub(crate) evaluation: Step,
}

impl Core {
    /// Gives out an action that appends to the next segment.
    pub(crate) fn append(&mut self, action: Action) {
        self.unflushed_since.get_or_insert(self.now);
        self.act(action);
    }

    pub(crate) fn flush(&mut self) {
        if self.unflushed_since.take().is_some() {
            self.flushes.push_back(Flush {
                step: self.progress.step,
                evaluation: self.evaluations.told(),
            });
            self.act(Action::FlushSegments);
        }
    }

    pub(crate) fn flushed(&mut self, result: Result<(), String>) {
        if let Some(Flush { step, evaluation }) = self.flushes.pop_front() {
            self.written = self.written.max(step);
            self.evaluations.written = self.evaluations.written.max(evaluation);
        }
        if let Err(error) = result {
            self.fail(format!("metrics could not be written: {error}"));
        }
    }

    pub(crate) fn log(&mut self, fact: Fact) {
        self.writes += 1;
        self.act(Action::Log(fact));
    }

    /// When a checkpoint has every part: metrics up to it first, then its manifest.
    pub(crate) fn complete_checkpoint(&mut self) {
        let Run::Active(active) = &mut self.run else {
            return;
        };
        let reported = self.progress.step;
        let Some(complete) = active.attempts.take_complete(&active.world, reported) else {
            return;
        };
        let Complete {
            attempt,
            stop,
            step,
            cursors,
            parts,
        } = complete;
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            run: self.config.run.clone(),
            name: CheckpointName { step, attempt },
            generation: active.world.generation,
            world_size: active.world.size(),
            seed: self.config.seed,
            cursors,
            parts,
        };
        self.flush();
        self.writes += 1;
        self.act(Action::StoreManifest(manifest.clone()));
        self.checkpoints.begin(manifest, stop);
    }

    pub(crate) fn manifest_stored(&mut self, name: CheckpointName, result: Result<(), String>) {
        self.writes = self.writes.saturating_sub(1);
        if matches!(self.run, Run::Over(_)) {
            // It comes too late for a run that has waited long enough: without a record it is void.
            return;
        }
        match (result, self.checkpoints.manifest(&name)) {
            (Ok(()), Some(manifest)) => {
                let generation = manifest.generation;
                self.log(Fact::CheckpointCommitted { name, generation });
            }
            (Ok(()), None) => {}
            (Err(error), _) => self.fail(format!("the manifest of {name} was not stored: {error}")),
        }
    }

    pub(crate) fn record_logged(&mut self, fact: Fact, result: Result<(), String>) {
        self.writes = self.writes.saturating_sub(1);
        if let Err(error) = result {
            return self.fail(format!("a record could not be logged: {error}"));
        }
        match fact {
            Fact::TermOpened { .. }
            | Fact::CheckpointDamaged { .. }
            | Fact::RolledBack { .. }
            | Fact::StatesDiverged { .. } => {}
            Fact::WorldFormed { .. } => self.world_formed(),
            Fact::CheckpointCommitted { name, .. } => self.checkpoint_committed(name),
            Fact::CheckpointRetired { name } => {
                self.act(Action::RemoveCheckpoint(name));
            }
            Fact::ShardQuarantined(quarantine) => self.quarantines.logged_now(quarantine),
            Fact::RunEnded { step } => {
                let checkpoint = self.checkpoints.latest();
                self.finish(Outcome::Ended { step, checkpoint });
            }
        }
    }

    fn checkpoint_committed(&mut self, name: CheckpointName) {
        let Some(stop) = self.checkpoints.commit(name) else {
            return;
        };
        self.uncommitted_since = self.now;
        let directory = name.directory();
        let next = if stop {
            "the ranks leave"
        } else {
            "training goes on"
        };
        self.tell(Topic::Saved, format!("{directory} is saved; {next}"));
        for name in self.checkpoints.retire() {
            self.log(Fact::CheckpointRetired { name });
        }
        let Run::Active(active) = &mut self.run else {
            return;
        };
        let ordered = active.directive.checkpoint.map(|order| order.attempt);
        if stop {
            self.leave_after(name.step);
        } else if ordered == Some(name.attempt) && !active.directive.reform {
            let attempt = self.entropy.attempt();
            active.directive = self
                .orders
                .checkpoint_after(name.step, &self.config, attempt);
        }
    }

    /// The ranks have what they were to write, and go.
    pub(crate) fn leave_after(&mut self, step: Step) {
        let deadline = self.now + LEAVING;
        if let Run::Active(active) = &mut self.run
            && !matches!(active.stage, Stage::Leaving { .. })
        {
            active.stage = Stage::Leaving { step, deadline };
        }
    }
}
