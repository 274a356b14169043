//! The machine: what happens, in the order in which it happens.

use crate::active::{Active, Run, Stage};
use crate::attempts::{Attempts, Complete};
use crate::checkpoints::Checkpoints;
use crate::config::{CoreConfig, Recovered};
use crate::entropy::Entropy;
use crate::message::{Action, Event, Outcome};
use crate::orders::Orders;
use crate::progress::Progress;
use crate::quarantine::Quarantines;
use crate::roster::{Presence, Roster, Seat};
use crate::skips::SkipLedger;
use crate::watch::{Lost, Watch};
use std::time::Duration;
use twinspan_types::{
    CheckpointName, Fact, Generation, LaneTable, MANIFEST_VERSION, Manifest, Term, World,
};

/// How long workers are waited for once they know that the run is over.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the ranks may take to deliver what is left after the last checkpoint.
const LEAVING: Duration = Duration::from_secs(10);
/// Longest time that metrics and skips stay unwritten.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// One term of one run.
pub struct Core {
    pub(crate) config: CoreConfig,
    pub(crate) term: Term,
    /// The highest generation given so far, by any term.
    pub(crate) generation: Generation,
    /// The generation that this term has formed.
    pub(crate) formed: Option<Generation>,
    pub(crate) entropy: Entropy,
    pub(crate) now: Duration,
    pub(crate) watch: Watch,
    pub(crate) roster: Roster,
    pub(crate) progress: Progress,
    pub(crate) skips: SkipLedger,
    pub(crate) quarantines: Quarantines,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) orders: Orders,
    pub(crate) run: Run,
    /// Since when something was appended and not flushed.
    unflushed_since: Option<Duration>,
    /// Manifests and records that were given out and not answered yet.
    writes: u32,
    actions: Vec<Action>,
}

impl Core {
    /// A term that waits for its workers. `entropy` seeds all nonces and secrets; `now` and all
    /// later times count from one arbitrary origin.
    #[must_use]
    pub fn new(config: CoreConfig, recovered: Recovered, entropy: [u8; 32], now: Duration) -> Self {
        let Recovered {
            term,
            generation,
            latest,
            kept,
            skips,
            quarantines,
        } = recovered;
        let mut skips = SkipLedger::new(config.max_skip_fraction, config.dataset_samples, skips);
        quarantines.iter().for_each(|shard| skips.quarantine(shard));
        let start = latest
            .as_ref()
            .map(|manifest| manifest.name.step)
            .unwrap_or_default();
        Self {
            term,
            generation,
            formed: None,
            entropy: Entropy::new(entropy),
            now,
            watch: Watch::new(config.heartbeat_timeout, now),
            roster: Roster::new(term, config.workers),
            progress: Progress::from(start),
            skips,
            quarantines: Quarantines::new(quarantines),
            checkpoints: Checkpoints::new(config.checkpoint.clone(), kept, latest),
            orders: Orders::new(term),
            run: Run::Waiting {
                deadline: now + config.join_timeout,
            },
            unflushed_since: None,
            writes: 0,
            actions: Vec::new(),
            config,
        }
    }

    /// Takes an event and returns what to do about it. Times that run backwards count as no time.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        self.watch.called(self.now);
        match event {
            Event::Request { token, request } => {
                let reply = self.answer(request);
                self.actions.push(Action::Reply(token, reply));
            }
            Event::StopRequested => self.stop(),
            Event::ManifestStored(name, result) => self.manifest_stored(name, result),
            Event::RecordLogged(fact, result) => self.record_logged(fact, result),
            Event::FlushFailed(error) => {
                self.fail(format!("metrics could not be written: {error}"));
            }
            Event::Tick => {}
        }
        self.turn();
        std::mem::take(&mut self.actions)
    }

    /// When to call [`Core::handle`] with [`Event::Tick`] at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let phase = match &self.run {
            Run::Over(_) => return None,
            Run::Waiting { deadline } | Run::Closing { deadline, .. } => Some(*deadline),
            Run::Active(active) => match active.stage {
                Stage::Leaving { deadline, .. } => Some(deadline),
                Stage::Training | Stage::Stopping => None,
            },
            Run::Forming { .. } | Run::Ending { .. } => None,
        };
        let flush = self.unflushed_since.map(|since| since + FLUSH_EVERY);
        [phase, flush, Some(self.watch.next_call())]
            .into_iter()
            .flatten()
            .min()
    }

    /// What follows from the state alone, whatever the event was.
    fn turn(&mut self) {
        if self
            .unflushed_since
            .is_some_and(|since| self.now >= since + FLUSH_EVERY)
        {
            self.flush();
        }
        match &self.run {
            Run::Waiting { deadline } => {
                let late = self.now >= *deadline;
                self.turn_waiting(late);
            }
            Run::Active(active) => match active.stage {
                Stage::Training | Stage::Stopping => {
                    self.complete_checkpoint();
                    self.look_for_lost();
                }
                Stage::Leaving { step, deadline } => {
                    let gone = self.roster.nobody_is_here() || self.now >= deadline;
                    if gone && self.writes == 0 {
                        self.flush();
                        match step >= self.config.total_steps {
                            true => {
                                self.log(Fact::RunEnded { step });
                                self.run = Run::Ending { step };
                            }
                            false => self.finish(Outcome::Stopped {
                                step,
                                checkpoint: self.checkpoints.latest(),
                            }),
                        }
                    }
                }
            },
            Run::Closing { outcome, deadline } => {
                let settled = self.roster.nobody_is_here() && self.writes == 0;
                if settled || self.now >= *deadline {
                    let outcome = outcome.clone();
                    self.finish(outcome);
                }
            }
            Run::Forming { .. } | Run::Ending { .. } | Run::Over(_) => {}
        }
    }

    fn turn_waiting(&mut self, late: bool) {
        match self.watch.lost(self.now, &self.roster) {
            // Its seat is free again.
            Some(Lost::One(seat)) => self.roster.remove(seat),
            Some(Lost::All) | None => {}
        }
        let (joined, wanted) = (self.roster.joined(), self.config.workers);
        if self.roster.is_complete() {
            self.form();
        } else if late {
            self.fail(format!(
                "{joined} of {wanted} workers joined within cluster.join_timeout {:?}; start the \
                 others, lower cluster.workers or raise the timeout",
                self.config.join_timeout
            ));
        }
    }

    /// Deals a world; its record comes before anyone sees it.
    fn form(&mut self) {
        let CoreConfig {
            lanes,
            lane_group,
            streams,
            workers,
            ..
        } = self.config;
        self.generation = self.generation.next();
        let latest = self.checkpoints.latest();
        let start = latest.map(|name| name.step).unwrap_or_default();
        let attempt = self.entropy.attempt();
        let world = World {
            term: self.term,
            generation: self.generation,
            members: self.roster.members(),
            lanes: LaneTable::deal(lanes, lane_group, workers),
            start,
            restore: latest.map(|name| name.directory()),
            cursors: self.checkpoints.cursors(streams),
            quarantines: self.quarantines.logged().to_vec(),
            token: self.entropy.nonce(),
            directive: self.orders.checkpoint_after(start, &self.config, attempt),
        };
        self.log(Fact::WorldFormed {
            generation: world.generation,
            members: world.members.clone(),
            lanes: world.lanes.clone(),
            start,
        });
        self.run = Run::Forming {
            world: Box::new(world),
            stop: false,
        };
    }

    fn world_formed(&mut self) {
        let Run::Forming { world, stop } = &self.run else {
            return;
        };
        let (world, stop) = ((**world).clone(), *stop);
        self.formed = Some(world.generation);
        self.progress = Progress::from(world.start);
        let directive = world.directive;
        let mut active = Active {
            world,
            directive,
            attempts: Attempts::default(),
            stage: Stage::Training,
        };
        active.order(directive);
        self.run = Run::Active(Box::new(active));
        if stop {
            self.stop();
        }
    }

    /// Orders a last checkpoint at the next boundary.
    pub(crate) fn stop(&mut self) {
        match &mut self.run {
            Run::Waiting { .. } => {
                let checkpoint = self.checkpoints.latest();
                let step = checkpoint.map(|name| name.step).unwrap_or_default();
                self.close(Outcome::Stopped { step, checkpoint });
            }
            Run::Forming { stop, .. } => *stop = true,
            Run::Active(active) if matches!(active.stage, Stage::Training) => {
                active.stage = Stage::Stopping;
                active.order(self.orders.stop_now(self.entropy.attempt()));
            }
            Run::Active(_) | Run::Closing { .. } | Run::Ending { .. } | Run::Over(_) => {}
        }
    }

    fn look_for_lost(&mut self) {
        let timeout = self.config.heartbeat_timeout;
        match self.watch.lost(self.now, &self.roster) {
            Some(Lost::One(seat)) => {
                self.roster.worker_mut(seat).presence = Presence::Gone;
                let lost = self.describe(seat);
                self.fail(format!(
                    "{lost} was lost: no word from it for more than {timeout:?}"
                ));
            }
            Some(Lost::All) => {
                let all: Vec<Seat> = self.roster.workers().map(|(seat, _)| seat).collect();
                for seat in all {
                    self.roster.worker_mut(seat).presence = Presence::Gone;
                }
                self.fail(format!(
                    "all workers were lost: no word from any for more than {:?}; look whether \
                     they ran and could reach this address",
                    timeout * 2
                ));
            }
            None => {}
        }
    }

    /// `rank 1 (worker w1-2, pid 77 on gpu-3, at step 41 in phase Collective 12)`.
    pub(crate) fn describe(&self, seat: Seat) -> String {
        let worker = self.roster.worker(seat);
        format!(
            "rank {} ({}, at step {} in phase {:?}, collective {})",
            seat.rank(),
            worker.describe(),
            worker.step,
            worker.phase,
            worker.collective_sequence
        )
    }

    /// Ends the run with a reason, to which is added how it goes on.
    pub(crate) fn fail(&mut self, reason: String) {
        let failed = matches!(
            self.run,
            Run::Over(_)
                | Run::Closing {
                    outcome: Outcome::Failed { .. },
                    ..
                }
        );
        if !failed {
            let remedy = match self.checkpoints.latest() {
                Some(name) => format!("it goes on from {}", name.directory()),
                None => "it begins again, as no checkpoint was committed".to_owned(),
            };
            let reason = format!("{reason}. When the run is started again, {remedy}");
            self.close(Outcome::Failed { reason });
        }
    }

    fn close(&mut self, outcome: Outcome) {
        self.run = Run::Closing {
            outcome,
            deadline: self.now + FAREWELL,
        };
    }

    fn finish(&mut self, outcome: Outcome) {
        self.flush();
        self.actions.push(Action::Finish(outcome.clone()));
        self.run = Run::Over(outcome);
    }

    /// Gives out an action that appends to the next segment.
    pub(crate) fn append(&mut self, action: Action) {
        self.unflushed_since.get_or_insert(self.now);
        self.actions.push(action);
    }

    fn flush(&mut self) {
        if self.unflushed_since.take().is_some() {
            self.actions.push(Action::FlushSegments);
        }
    }

    pub(crate) fn log(&mut self, fact: Fact) {
        self.writes += 1;
        self.actions.push(Action::Log(fact));
    }

    /// When a checkpoint has every part: metrics up to it first, then its manifest.
    fn complete_checkpoint(&mut self) {
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
        self.actions.push(Action::StoreManifest(manifest.clone()));
        self.checkpoints.begin(manifest, stop);
    }

    fn manifest_stored(&mut self, name: CheckpointName, result: Result<(), String>) {
        self.writes = self.writes.saturating_sub(1);
        match (result, self.checkpoints.manifest(&name)) {
            (Ok(()), Some(manifest)) => {
                let generation = manifest.generation;
                self.log(Fact::CheckpointCommitted { name, generation });
            }
            (Ok(()), None) => {}
            (Err(error), _) => self.fail(format!("the manifest of {name} was not stored: {error}")),
        }
    }

    fn record_logged(&mut self, fact: Fact, result: Result<(), String>) {
        self.writes = self.writes.saturating_sub(1);
        if let Err(error) = result {
            return self.fail(format!("a record could not be logged: {error}"));
        }
        match fact {
            Fact::TermOpened { .. } => {}
            Fact::WorldFormed { .. } => self.world_formed(),
            Fact::CheckpointCommitted { name, .. } => self.checkpoint_committed(name),
            Fact::CheckpointRetired { name } => {
                self.actions.push(Action::RemoveCheckpoint(name));
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
        for name in self.checkpoints.retire() {
            self.log(Fact::CheckpointRetired { name });
        }
        let Run::Active(active) = &mut self.run else {
            return;
        };
        let ordered = active.directive.checkpoint.map(|order| order.attempt);
        if stop {
            let deadline = self.now + LEAVING;
            active.stage = Stage::Leaving {
                step: name.step,
                deadline,
            };
        } else if ordered == Some(name.attempt) {
            let attempt = self.entropy.attempt();
            active.order(
                self.orders
                    .checkpoint_after(name.step, &self.config, attempt),
            );
        }
    }
}
