//! The machine: what happens, in the order in which it happens.

use crate::active::{Run, Stage, Waiting};
use crate::checkpoints::Checkpoints;
use crate::config::{CoreConfig, Recovered};
use crate::entropy::Entropy;
use crate::evaluations::Evaluations;
use crate::forming::adoptable;
use crate::lineage::Lineage;
use crate::message::{Action, Event, Topic};
use crate::orders::Orders;
use crate::pairs::Pairs;
use crate::progress::Progress;
use crate::quarantine::Quarantines;
use crate::rollback::Rollbacks;
use crate::roster::Roster;
use crate::skips::SkipLedger;
use crate::stragglers::Stragglers;
use crate::watch::Watch;
use crate::writing::Flush;
use std::collections::VecDeque;
use std::time::Duration;
use twinspan_types::{Generation, Step, Straggler, Term};

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
    pub(crate) pairs: Pairs,
    pub(crate) progress: Progress,
    pub(crate) stragglers: Stragglers,
    /// The one that was named last and has not caught up.
    pub(crate) straggler: Option<Straggler>,
    /// Every step up to this one is in the run's files.
    pub(crate) written: Step,
    /// The evaluations that the workers have told.
    pub(crate) evaluations: Evaluations,
    /// The flushes that are on their way.
    pub(crate) flushes: VecDeque<Flush>,
    pub(crate) skips: SkipLedger,
    pub(crate) quarantines: Quarantines,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) rollbacks: Rollbacks,
    pub(crate) orders: Orders,
    pub(crate) run: Run,
    /// Since when something was appended and not flushed.
    pub(crate) unflushed_since: Option<Duration>,
    /// Since when no checkpoint was committed.
    pub(crate) uncommitted_since: Duration,
    /// Manifests and records that were given out and not answered yet.
    pub(crate) writes: u32,
    actions: Vec<Action>,
}

impl Core {
    /// A term that waits for its workers. `entropy` seeds all nonces and secrets; `now` and all
    /// later times count from one arbitrary origin.
    #[must_use]
    pub fn new(config: CoreConfig, recovered: Recovered, entropy: [u8; 32], now: Duration) -> Self {
        let adoptable = adoptable(&config, &recovered).map(Box::new);
        let Recovered {
            term,
            worlds,
            kept,
            reported,
            evaluated,
            skips,
            quarantines,
            rollbacks,
            ..
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
            watch: Watch::new(config.heartbeat_timeout, config.lease_ahead, now),
            roster: Roster::new(term, config.max_workers),
            pairs: Pairs::default(),
            progress: Progress::from(reported),
            stragglers: Stragglers::default(),
            straggler: None,
            written: reported,
            evaluations: Evaluations::from(evaluated),
            flushes: VecDeque::new(),
            skips,
            quarantines: Quarantines::new(quarantines),
            checkpoints: Checkpoints::new(config.checkpoint.clone(), kept),
            rollbacks: Rollbacks::new(rollbacks),
            orders: Orders::new(term),
            run: Run::Waiting(Waiting {
                deadline: Some(now + config.join_timeout),
                since: now,
                told: false,
                stop: false,
                rollback: false,
                adoptable,
            }),
            unflushed_since: None,
            uncommitted_since: now,
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
            Run::Waiting(waiting) => self.waiting_deadline(waiting),
            Run::Closing { deadline, .. } => Some(*deadline),
            Run::Active(active) => match active.stage {
                Stage::Leaving { deadline, .. } => Some(deadline),
                Stage::Training | Stage::Stopping => self.active_deadline(active),
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
                        _ => self.order_what_is_due(),
                    }
                }
                Stage::Leaving { step, deadline } => {
                    let generation = active.world.generation;
                    let gone = self.roster.all_have_gone(generation) || self.now >= deadline;
                    if gone && self.writes == 0 {
                        self.all_have_left(step);
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

    pub(crate) fn tell(&mut self, topic: Topic, text: String) {
        self.actions.push(Action::Tell(topic, text));
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }
}
