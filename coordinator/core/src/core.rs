//! The machine: what happens, in the order in which it happens.

use crate::active::{Active, Run, Stage, Waiting};
use crate::attempts::{Attempts, Complete};
use crate::checkpoints::Checkpoints;
use crate::config::{CoreConfig, Recovered};
use crate::entropy::Entropy;
use crate::lineage::Lineage;
use crate::message::{Action, Event, Outcome};
use crate::orders::Orders;
use crate::progress::Progress;
use crate::quarantine::Quarantines;
use crate::roster::{Roster, Seat};
use crate::skips::SkipLedger;
use crate::watch::{Lost, Watch};
use std::collections::VecDeque;
use std::time::Duration;
use twinspan_types::{
    CheckpointName, Fact, Generation, LaneTable, MANIFEST_VERSION, Manifest, Rank, Stamp, Step,
    Term, World, WorldSize,
};

/// How long workers are waited for once they know that the run is over.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long the ranks may take to deliver what is left after the last checkpoint.
const LEAVING: Duration = Duration::from_secs(10);
/// How long a worker may take to leave a broken generation when a peer could not go on without it:
/// one that lives has found the generation broken as soon as the peer.
const MISSED_GRACE: Duration = Duration::from_millis(500);
/// Longest time that metrics and skips stay unwritten.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

/// One term of one run.
pub struct Core {
    pub(crate) config: CoreConfig,
    pub(crate) term: Term,
    /// The highest generation given so far, by any term.
    pub(crate) generation: Generation,
    pub(crate) lineage: Lineage,
    pub(crate) entropy: Entropy,
    pub(crate) now: Duration,
    pub(crate) watch: Watch,
    pub(crate) roster: Roster,
    pub(crate) progress: Progress,
    /// Every step up to this one is in the run's files.
    pub(crate) written: Step,
    /// The last steps of the flushes that are on their way.
    flushes: VecDeque<Step>,
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
            worlds,
            latest,
            kept,
            reported,
            skips,
            quarantines,
        } = recovered;
        let lineage = Lineage::new(worlds);
        let mut skips = SkipLedger::new(config.max_skip_fraction, config.dataset_samples, skips);
        quarantines.iter().for_each(|shard| skips.quarantine(shard));
        Self {
            term,
            generation: lineage.highest(),
            lineage,
            entropy: Entropy::new(entropy),
            now,
            watch: Watch::new(config.heartbeat_timeout, now),
            roster: Roster::new(term, config.max_workers),
            progress: Progress::from(reported),
            written: reported,
            flushes: VecDeque::new(),
            skips,
            quarantines: Quarantines::new(quarantines),
            checkpoints: Checkpoints::new(config.checkpoint.clone(), kept, latest),
            orders: Orders::new(term),
            run: Run::Waiting(Waiting {
                deadline: Some(now + config.join_timeout),
                since: now,
                stop: false,
            }),
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
            Event::Flushed(result) => self.flushed(result),
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
            Run::Waiting(waiting) => {
                let absent = self.roster.members_of(self.generation);
                let absent = absent.filter(|(_, worker)| worker.ready.is_none());
                let missed = absent.filter_map(|(_, worker)| worker.missed_since);
                let missed = missed.map(|since| since + MISSED_GRACE);
                waiting.deadline.into_iter().chain(missed).min()
            }
            Run::Closing { deadline, .. } => Some(*deadline),
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
            Run::Waiting(_) => self.turn_waiting(),
            Run::Active(active) => match active.stage {
                Stage::Training | Stage::Stopping => {
                    self.complete_checkpoint();
                    self.look_for_lost();
                    match &self.run {
                        Run::Waiting(_) => self.turn_waiting(),
                        _ => self.let_joiners_in(),
                    }
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

    /// Drops those who are lost, and forms a generation of the others once all of them have left
    /// the last one.
    fn turn_waiting(&mut self) {
        while let Some(Lost::One(seat)) = self.watch.lost(self.now, &self.roster) {
            let timeout = self.config.heartbeat_timeout;
            self.drop_lost(seat, format!("no word from it for more than {timeout:?}"));
        }
        let Run::Waiting(waiting) = &self.run else {
            return;
        };
        let Waiting {
            deadline,
            since,
            stop,
        } = *waiting;
        while let Some((seat, why)) = self.overdue(since) {
            self.drop_lost(seat, why);
        }
        let all_ready = self
            .roster
            .members_of(self.generation)
            .all(|(_, worker)| worker.ready.is_some());
        let ready = self.roster.waiting().count() as u64;
        let late = deadline.is_some_and(|deadline| self.now >= deadline);
        let first = deadline.is_some();
        let wanted = match (first && !late, stop) {
            (true, _) => self.config.workers,
            (false, true) => WorldSize(1),
            (false, false) => self.config.min_workers,
        };
        if all_ready && ready >= u64::from(wanted.0) {
            self.form(stop);
        } else if late {
            let (joined, wanted) = (self.roster.joined(), self.config.workers);
            self.fail(format!(
                "{joined} of {wanted} workers joined within cluster.join_timeout {:?}; start the \
                 others, lower cluster.workers or raise the timeout",
                self.config.join_timeout
            ));
        } else if stop && self.roster.joined() == WorldSize(0) {
            self.stop_at_checkpoint();
        }
    }

    /// A member of the last generation that should have left it by now, and why it is given up.
    fn overdue(&self, since: Duration) -> Option<(Seat, String)> {
        let mut members = self.roster.members_of(self.generation);
        members.find_map(|(seat, worker)| {
            let missed = worker
                .missed_since
                .is_some_and(|at| self.now >= at + MISSED_GRACE);
            let stuck = self.now >= since + self.config.step_timeout;
            match (worker.ready, missed, stuck) {
                (None, true, _) => Some((seat, "a peer could not reach it".to_owned())),
                (None, _, true) => {
                    let limit = self.config.step_timeout;
                    Some((
                        seat,
                        format!("it did not leave its generation within {limit:?}"),
                    ))
                }
                _ => None,
            }
        })
    }

    /// The state to go on from: the one that is furthest of those that wait, if it is the run's and
    /// no checkpoint is ahead of it.
    fn source(&self) -> Option<Stamp> {
        let checkpoint = self.checkpoints.latest_stamp();
        let waiting = self.roster.waiting().map(|(_, stamp)| stamp);
        let held = waiting.filter(|stamp| self.lineage.holds(*stamp)).max();
        held.filter(|held| checkpoint.is_none_or(|checkpoint| checkpoint <= *held))
    }

    /// Deals a world; its record comes before anyone sees it.
    fn form(&mut self, stop: bool) {
        // What older generations reported goes into their own segments.
        self.flush();
        let source = self.source();
        let rank = source.and_then(|source| {
            let mut waiting = self.roster.waiting();
            waiting.position(|(_, stamp)| stamp == source)
        });
        let CoreConfig {
            lanes,
            lane_group,
            streams,
            ..
        } = self.config;
        self.generation = self.generation.next();
        let members = self.roster.form(self.generation);
        let latest = self.checkpoints.latest().filter(|_| source.is_none());
        let checkpoint = latest.map(|name| name.step).unwrap_or_default();
        let start = source.map_or(checkpoint, |source| source.step);
        let attempt = self.entropy.attempt();
        let size = WorldSize(u32::try_from(members.len()).unwrap_or(u32::MAX));
        let world = World {
            term: self.term,
            generation: self.generation,
            members,
            lanes: LaneTable::deal(lanes, lane_group, size),
            start,
            source: rank.map(|rank| Rank(u32::try_from(rank).unwrap_or(u32::MAX))),
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
            stop,
        };
    }

    fn world_formed(&mut self) {
        let Run::Forming { world, stop } = &self.run else {
            return;
        };
        let (world, stop) = ((**world).clone(), *stop);
        self.lineage.add(world.generation, world.start);
        self.progress.restart(world.start);
        self.written = self.written.min(self.progress.step);
        self.flushes
            .iter_mut()
            .for_each(|step| *step = (*step).min(world.start));
        self.skips.redo_from(world.start);
        self.watch.restart(self.now, world.start);
        if world.generation > Generation(1) {
            self.tell(format!(
                "generation {}: {} workers go on from step {}",
                world.generation,
                world.size(),
                world.start
            ));
        }
        let directive = world.directive;
        let mut active = Active {
            world,
            directive,
            attempts: Attempts::default(),
            stage: Stage::Training,
        };
        active.order(directive);
        let size = active.world.size();
        self.run = Run::Active(Box::new(active));
        if self.roster.members_of(self.generation).count() < size.index() {
            // One left while the record was written.
            self.break_up();
        }
        if stop {
            self.stop();
        }
    }

    /// Orders a last checkpoint at the next boundary.
    pub(crate) fn stop(&mut self) {
        match &mut self.run {
            // A generation that is between two takes its last checkpoint in the next.
            Run::Waiting(waiting) if waiting.deadline.is_none() => waiting.stop = true,
            Run::Waiting(_) => self.stop_at_checkpoint(),
            Run::Forming { stop, .. } => *stop = true,
            Run::Active(active) if matches!(active.stage, Stage::Training) => {
                active.stage = Stage::Stopping;
                active.order(self.orders.stop_now(self.entropy.attempt()));
            }
            Run::Active(_) | Run::Closing { .. } | Run::Ending { .. } | Run::Over(_) => {}
        }
    }

    fn stop_at_checkpoint(&mut self) {
        let checkpoint = self.checkpoints.latest();
        let step = checkpoint.map(|name| name.step).unwrap_or_default();
        self.close(Outcome::Stopped { step, checkpoint });
    }

    fn look_for_lost(&mut self) {
        let timeout = self.config.heartbeat_timeout;
        match self.watch.lost(self.now, &self.roster) {
            Some(Lost::One(seat)) => {
                self.drop_lost(seat, format!("no word from it for more than {timeout:?}"));
            }
            Some(Lost::All) => {
                let silence = timeout * 2;
                while let Some(seat) = self.roster.first() {
                    self.drop_lost(seat, format!("no word from any worker for {silence:?}"));
                }
            }
            None => {}
        }
    }

    /// Takes a worker off the roster; a generation that it is a member of cannot go on.
    pub(crate) fn drop_lost(&mut self, seat: Seat, why: String) {
        let worker = self.roster.worker(seat);
        let was_member = worker.place.map(|(generation, _)| generation) == Some(self.generation);
        let lost = worker.describe();
        self.roster.remove(seat);
        if was_member {
            self.tell(format!("{lost} was lost: {why}"));
            self.break_up();
        }
    }

    /// The generation at work is over: its members are to ask for the next.
    pub(crate) fn break_up(&mut self) {
        if let Run::Active(active) = &self.run
            && !matches!(active.stage, Stage::Leaving { .. })
        {
            self.run = Run::Waiting(Waiting {
                deadline: None,
                since: self.now,
                stop: matches!(active.stage, Stage::Stopping),
            });
        }
    }

    /// Whoever waits while a generation is at work gets into the next, which is formed at a
    /// boundary.
    fn let_joiners_in(&mut self) {
        let someone_waits = self.roster.waiting().next().is_some();
        if let Run::Active(active) = &mut self.run
            && matches!(active.stage, Stage::Training)
            && someone_waits
            && !active.directive.reform
        {
            active.order(self.orders.reform_now());
        }
    }

    pub(crate) fn tell(&mut self, text: String) {
        self.actions.push(Action::Tell(text));
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
            self.flushes.push_back(self.progress.step);
            self.actions.push(Action::FlushSegments);
        }
    }

    fn flushed(&mut self, result: Result<(), String>) {
        if let Some(step) = self.flushes.pop_front() {
            self.written = self.written.max(step);
        }
        if let Err(error) = result {
            self.fail(format!("metrics could not be written: {error}"));
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
        } else if ordered == Some(name.attempt) && !active.directive.reform {
            let attempt = self.entropy.attempt();
            active.order(
                self.orders
                    .checkpoint_after(name.step, &self.config, attempt),
            );
        }
    }
}
