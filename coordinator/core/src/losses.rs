//! Workers that are lost, stand still, or go; and generations that end because of it.

use crate::active::{Active, Run, Stage, Waiting};
use crate::core::Core;
use crate::message::Topic;
use crate::roster::{Seat, Worker};
use crate::watch::Lost;
use std::time::Duration;
use twinspan_types::{Directive, Phase};

impl Core {
    /// Whoever was silent too long is lost, and so is a rank that holds the others up.
    pub(crate) fn look_for_lost(&mut self) {
        self.look_for_absent();
        let timeout = self.config.heartbeat_timeout;
        match self.watch.lost(self.now, &self.roster) {
            Some(Lost::One(seat)) => {
                return self.drop_lost(seat, format!("no word from it for more than {timeout:?}"));
            }
            Some(Lost::All) => {
                let silence = timeout * 2;
                while let Some(seat) = self.roster.first() {
                    self.drop_lost(seat, format!("no word from any worker for {silence:?}"));
                }
                return;
            }
            None => {}
        }
        if let Some((seat, limit)) = self.holds_others_up() {
            let phase = self.roster.worker(seat).phase;
            let why = format!("it has stood still in phase {phase:?} for more than {limit:?}");
            self.drop_lost(seat, why);
        }
    }

    /// A rank whose phase has taken longer than it may, and that is not itself waiting for another:
    /// who stands in the last collective that any rank has entered waits for those who do not.
    fn holds_others_up(&self) -> Option<(Seat, Duration)> {
        let Run::Active(active) = &self.run else {
            return None;
        };
        let members = || self.roster.members_of(active.world.generation);
        let in_collective = members().filter(|(_, worker)| worker.phase == Phase::Collective);
        let last = in_collective
            .map(|(_, worker)| worker.collective_sequence)
            .max();
        let late = members().filter_map(|(seat, worker)| {
            let waits = worker.phase == Phase::Collective
                && last.is_some_and(|last| worker.collective_sequence >= last);
            let limit = self.limit_of(worker.phase).filter(|_| !waits)?;
            // By its own words: silence, on its side or on this one, is another matter.
            let still = worker.reported.saturating_sub(worker.moved);
            (still > limit).then_some((seat, limit, worker.moved))
        });
        let longest = late.min_by_key(|(_, _, moved)| *moved);
        longest.map(|(seat, limit, _)| (seat, limit))
    }

    /// How long a phase may take without progress. Samples that do not come are the store's fault
    /// or the coordinator's, and nobody's who waits for them.
    fn limit_of(&self, phase: Phase) -> Option<Duration> {
        let step = self.config.step_timeout;
        match phase {
            Phase::Compute | Phase::Collective => Some(step),
            // Checkpoints and states are large, and their store may be slow.
            Phase::Healing | Phase::Checkpoint | Phase::Evaluation => Some(step * 5),
            Phase::Joining | Phase::DataWait | Phase::Leaving => None,
        }
    }

    /// Takes a worker off the roster; a generation that it is a member of cannot go on.
    pub(crate) fn drop_lost(&mut self, seat: Seat, why: String) {
        let worker = self.roster.worker(seat);
        let was_member = worker.place.map(|(generation, _)| generation) == Some(self.generation);
        let lost = worker.describe();
        let draining = worker.draining;
        self.roster.remove(seat);
        if was_member {
            match draining {
                Some(_) => {
                    self.tell(Topic::Notice, format!("{lost} has left, as it was told to"));
                }
                None => self.tell(Topic::Lost, format!("{lost} was lost: {why}")),
            }
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
                told: false,
                stop: matches!(active.stage, Stage::Stopping),
                rollback: false,
                adoptable: None,
            });
        }
    }

    /// When [`Core::order_what_is_due`] has something to order at the earliest.
    pub(crate) fn active_deadline(&self, active: &Active) -> Option<Duration> {
        let timed = self.config.checkpoint.every_minutes;
        let timed = timed.map(|every| self.uncommitted_since + every);
        let joiners = self.joiners(active).map(|(_, worker)| worker.waits_until);
        let members = self.roster.members_of(active.world.generation);
        let drains = members.filter_map(|(_, worker)| worker.draining);
        let gathered = joiners.chain(drains).min();
        let gathered = gathered.map(|since| since + self.config.join_window);
        let due = [timed, gathered, active.complete_by];
        due.into_iter()
            .flatten()
            .filter(|due| *due > self.now)
            .min()
    }

    /// Who waits while a generation is at work.
    fn joiners(&self, active: &Active) -> impl Iterator<Item = (Seat, &Worker)> {
        let members = self.roster.members_of(active.world.generation);
        let left_out = self.left_out(members);
        let waiting = self.roster.waiting();
        let waiting = waiting.map(|(seat, _)| (seat, self.roster.worker(seat)));
        waiting.filter(move |(_, worker)| !left_out.contains(&worker.id))
    }

    /// Orders another generation for those who wait or want to go, and a checkpoint when time has
    /// made one due.
    pub(crate) fn order_what_is_due(&mut self) {
        let Run::Active(active) = &self.run else {
            return;
        };
        let free = matches!(active.stage, Stage::Training) && active.complete_by.is_none();
        let saved = active.directive.checkpoint.is_some();
        let members = || self.roster.members_of(active.world.generation);
        let all_drain = members().all(|(_, worker)| worker.draining.is_some());
        if !free || active.directive.reform && (saved || !all_drain) {
            return;
        }
        let at_the_end = self.watch.highest() >= self.config.total_steps;
        if at_the_end && !active.directive.stop {
            // An order that was given too late for its step: nothing but the last one is left.
            let last = self.orders.stop_now(self.entropy.attempt());
            return self.order(last);
        }
        let window = self.config.join_window;
        let waited = |since: Duration| self.now >= since + window;
        let drains = members().any(|(_, worker)| worker.draining.is_some_and(waited));
        let joins = self
            .joiners(active)
            .any(|(_, joiner)| waited(joiner.waits_until));
        let every = self.config.checkpoint.every_minutes;
        let timed = every.is_some_and(|every| self.now >= self.uncommitted_since + every);
        let timed = timed && active.attempts.stored_parts() == 0;
        let order = match (drains || joins, timed) {
            // What nobody is left to go on from is saved.
            (true, _) if all_drain => {
                let attempt = self.entropy.attempt();
                self.orders.reform_now(Some(attempt))
            }
            (true, _) => self.orders.reform_now(None),
            (false, true) if !is_timed(active) => {
                let attempt = self.entropy.attempt();
                self.orders.checkpoint_now(attempt)
            }
            _ => return,
        };
        self.order(order);
    }

    /// Puts an order in force.
    fn order(&mut self, directive: Directive) {
        if let Run::Active(active) = &mut self.run {
            active.directive = directive;
        }
    }
}

fn is_timed(active: &Active) -> bool {
    active.directive.checkpoint.is_some_and(|order| order.timed)
}
