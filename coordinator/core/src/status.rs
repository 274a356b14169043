//! What an operator sees.

use crate::active::{Run, Stage};
use crate::core::Core;
use crate::message::Outcome;
use twinspan_types::{Manifest, RankStatus, RunState, RunStatus, Step};

impl Core {
    /// The run as this coordinator sees it.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        let (state, message) = self.state();
        let mut workers: Vec<_> = self.roster.workers().collect();
        workers.sort_by_key(|(_, worker)| worker.place);
        let ranks = workers.into_iter().map(|(_, worker)| RankStatus {
            rank: worker.place.map(|(_, rank)| rank).unwrap_or_default(),
            worker: worker.id.clone(),
            host: worker.host.clone(),
            pid: worker.pid,
            address: worker.address.clone(),
            phase: worker.phase,
            step: worker.step,
            heartbeat_age: self.now.saturating_sub(worker.heard),
            lease_age: worker.leased.map(|at| self.now.saturating_sub(at)),
            device: worker.device.clone(),
            vitals: worker.vitals,
            draining: worker.draining.is_some(),
        });
        let first_at = self.progress.first_at.unwrap_or(self.now);
        RunStatus {
            run: self.config.run.clone(),
            state,
            message,
            term: self.term,
            generation: self.lineage.highest(),
            step: self.progress.step,
            total_steps: self.config.total_steps,
            metrics: self.progress.metrics.clone(),
            global_batch: u64::from(self.config.global_batch),
            skipped: self.skips.count(),
            checkpoint: self.checkpoints.latest().map(|name| name.directory()),
            ranks: ranks.collect(),
            training_time: self.now.saturating_sub(first_at),
            start: self.progress.start,
            evaluation: self.evaluations.newest.clone(),
            straggler: self.straggler.clone(),
        }
    }

    fn state(&self) -> (RunState, String) {
        match &self.run {
            Run::Waiting(waiting) => {
                let joined = self.roster.joined();
                let message = match waiting.deadline {
                    Some(_) => format!("{joined} of {} workers have joined", self.config.workers),
                    None => {
                        let ready = self.roster.waiting().count();
                        let least = self.config.min_workers;
                        format!(
                            "a new generation: {ready} of the {joined} workers that have joined are \
                             ready, {least} must be"
                        )
                    }
                };
                (RunState::WaitingForWorkers, message)
            }
            Run::Forming { world, .. } => {
                let message = format!("generation {} is being logged", world.generation);
                (RunState::WaitingForWorkers, message)
            }
            Run::Active(active) => {
                let size = active.world.size();
                let files = size
                    .ranks()
                    .map(|rank| Manifest::files_of(rank, size).len());
                let message = match active.attempts.stored_parts() {
                    0 if active.directive.stop && active.directive.at_step == Step(0) => {
                        "a last checkpoint at the next step".to_owned()
                    }
                    0 if active.directive.reform => {
                        "another generation is formed at the next step".to_owned()
                    }
                    0 if active.directive.at_step == Step(0) => {
                        "a checkpoint at the next step".to_owned()
                    }
                    0 => format!("next checkpoint at step {}", active.directive.at_step),
                    parts => format!(
                        "checkpoint: {parts} of {} files stored",
                        files.sum::<usize>()
                    ),
                };
                match active.stage {
                    Stage::Training => (RunState::Training, message),
                    Stage::Stopping => (RunState::Stopping, message),
                    Stage::Leaving { step, .. } => (
                        RunState::Stopping,
                        format!("step {step} is saved; workers leave"),
                    ),
                }
            }
            Run::Ending { step } => (RunState::Stopping, format!("step {step} is saved")),
            Run::Closing { outcome, .. } | Run::Over(outcome) => match outcome {
                Outcome::Ended { step, .. } => (RunState::Ended, format!("ended at step {step}")),
                Outcome::Stopped { step, .. } => {
                    (RunState::Stopped, format!("stopped at step {step}"))
                }
                Outcome::Failed { reason } => (RunState::Failed, reason.clone()),
            },
        }
    }
}
