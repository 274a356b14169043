//! From waiting workers to a generation at work.

use crate::active::{Active, Run, Stage, Waiting};
use crate::attempts::Attempts;
use crate::config::{CoreConfig, LoggedWorld, Recovered};
use crate::core::Core;
use crate::message::Topic;
use crate::roster::{Seat, Worker};
use crate::watch::Lost;
use std::collections::BTreeSet;
use std::time::Duration;
use twinspan_types::{
    Claim, Directive, Fact, Generation, Join, Joined, LaneTable, Nonce, Rank, ServiceError, Stamp,
    Step, WorkerId, World, WorldSize,
};

/// How long a worker may take to leave a broken generation when a peer could not go on without it:
/// one that lives has found the generation broken as soon as the peer.
const MISSED_GRACE: Duration = Duration::from_millis(500);

/// A wait for workers that is worth a word.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// The generation of an earlier term whose workers may be at work still.
pub(crate) fn adoptable(config: &CoreConfig, recovered: &Recovered) -> Option<World> {
    let newest = recovered.kept.last().map(|(name, _)| name.step);
    if newest.is_some_and(|newest| newest >= config.total_steps) {
        return None;
    }
    let LoggedWorld {
        generation,
        members,
        lanes,
        start,
    } = recovered.at_work.clone()?;
    // Only what its members cannot know any more is made up: they have the rest.
    Some(World {
        term: recovered.term,
        generation,
        members,
        lanes,
        start,
        source: None,
        restore: None,
        passed_over: Vec::new(),
        quarantines: recovered.quarantines.clone(),
        token: Nonce(0),
        directive: Directive {
            term: recovered.term,
            sequence: 0,
            at_step: Step(0),
            checkpoint: None,
            reform: false,
            stop: false,
        },
    })
}

impl Core {
    pub(crate) fn waiting_deadline(&self, waiting: &Waiting) -> Option<Duration> {
        let absent = self.roster.members_of(self.generation);
        let absent = absent.filter(|(_, worker)| worker.ready.is_none());
        let missed = absent.filter_map(|(_, worker)| worker.missed_since);
        let missed = missed.map(|since| since + MISSED_GRACE);
        let tell = (!waiting.told).then_some(waiting.since + TELL_AFTER);
        let dues = [waiting.deadline, tell].into_iter().flatten();
        dues.chain(missed).min()
    }

    /// A member of the last generation of an earlier term comes with its place: the generation goes
    /// on with it. Any other worker is a new one.
    pub(crate) fn join_with_claim(&mut self, join: Join) -> Result<Joined, ServiceError> {
        let secret = self.entropy.secret();
        let claimed = join.claim.as_ref();
        let world = match &self.run {
            Run::Waiting(waiting) => waiting.adoptable.as_deref(),
            Run::Active(active) if active.complete_by.is_some() => Some(&active.world),
            _ => None,
        };
        let place = world
            .zip(claimed)
            .and_then(|(world, Claim { worker, generation })| {
                let rank = world
                    .rank_of(worker)
                    .filter(|_| world.generation == *generation)?;
                Some((world.clone(), rank))
            });
        let Some((world, rank)) = place else {
            return self.roster.admit(join, secret, self.now);
        };
        let joined = self.roster.adopt(join, &world, rank, secret, self.now)?;
        if matches!(self.run, Run::Waiting(_)) {
            self.go_on_with(world);
        }
        Ok(joined)
    }

    /// A generation that an earlier term formed is at work under this coordinator.
    fn go_on_with(&mut self, world: World) {
        let attempt = self.entropy.attempt();
        let step = self.progress.step.max(world.start);
        let directive = self.orders.checkpoint_after(step, &self.config, attempt);
        self.progress.restart(world.start.max(self.progress.step));
        self.watch.restart(self.now, step);
        self.uncommitted_since = self.now;
        let stop = matches!(&self.run, Run::Waiting(waiting) if waiting.stop);
        self.watch_for_stragglers(&world);
        self.run = Run::Active(Box::new(Active {
            world,
            directive,
            attempts: Attempts::default(),
            stage: Stage::Training,
            complete_by: Some(self.now + self.config.heartbeat_timeout),
        }));
        if stop {
            self.stop();
        }
    }

    /// Whether all members of a generation of an earlier term have come; it ends where one has not.
    pub(crate) fn look_for_absent(&mut self) {
        let Run::Active(active) = &mut self.run else {
            return;
        };
        let Some(complete_by) = active.complete_by else {
            return;
        };
        let here = self.roster.members_of(self.generation).count();
        let (generation, size) = (active.world.generation, active.world.size());
        if here == size.index() {
            active.complete_by = None;
            let all = workers(here);
            self.tell(
                Topic::Adopted,
                format!("generation {generation} goes on under this coordinator, with all {all}"),
            );
        } else if self.now >= complete_by {
            let all = workers(size.index());
            self.tell(
                Topic::Adopted,
                format!(
                    "generation {generation} does not go on: {here} of its {all} came to this \
                     coordinator"
                ),
            );
            self.break_up();
        }
    }

    /// Drops those who are lost, and forms a generation of the others once all of them have left
    /// the last one.
    pub(crate) fn turn_waiting(&mut self) {
        while let Some(Lost::One(seat)) = self.watch.lost(self.now, &self.roster) {
            let timeout = self.config.heartbeat_timeout;
            self.drop_lost(seat, format!("no word from it for more than {timeout:?}"));
        }
        let Run::Waiting(waiting) = &self.run else {
            return;
        };
        let (deadline, since, stop) = (waiting.deadline, waiting.since, waiting.stop);
        while let Some((seat, why)) = self.overdue(since) {
            self.drop_lost(seat, why);
        }
        let all_ready = self
            .roster
            .members_of(self.generation)
            .all(|(_, worker)| worker.ready.is_some());
        let left_out = self.left_out(std::iter::empty());
        let ready = self.roster.waiting().count() - left_out.len();
        let late = deadline.is_some_and(|deadline| self.now >= deadline);
        let first = deadline.is_some();
        let wanted = match (first && !late, stop) {
            (true, _) => self.config.workers,
            (false, true) => WorldSize(1),
            (false, false) => self.config.min_workers,
        };
        if all_ready && ready >= wanted.index() {
            self.form();
        } else if late {
            let (joined, wanted) = (self.roster.joined(), self.config.workers);
            self.fail(format!(
                "{joined} of {wanted} workers joined within cluster.join_timeout {:?}; start the \
                 others, lower cluster.workers or raise the timeout",
                self.config.join_timeout
            ));
        } else if stop && self.roster.joined() == WorldSize(0) {
            self.stop_at_checkpoint();
        } else if self.now >= since + TELL_AFTER {
            self.tell_of_waiting(ready, wanted.index());
        }
    }

    /// Says once that the run waits, and for whom.
    fn tell_of_waiting(&mut self, ready: usize, wanted: usize) {
        let Run::Waiting(waiting) = &mut self.run else {
            return;
        };
        if std::mem::replace(&mut waiting.told, true) {
            return;
        }
        let absent = self.roster.members_of(self.generation);
        let absent = absent.filter(|(_, worker)| worker.ready.is_none());
        let absent: Vec<String> = absent.map(|(_, worker)| worker.describe()).collect();
        let text = match absent.is_empty() {
            true => format!("waiting: {} of {} are here", ready, workers(wanted)),
            false => format!(
                "waiting for {} to leave generation {}",
                absent.join(", "),
                self.generation
            ),
        };
        self.tell(Topic::Notice, text);
    }

    /// Who is left out because of failed links, of those who wait and these.
    pub(crate) fn left_out<'w>(
        &self,
        others: impl Iterator<Item = (Seat, &'w Worker)>,
    ) -> BTreeSet<WorkerId> {
        if self.pairs.none_has_failed() {
            return BTreeSet::new();
        }
        let mut all = self.waiting_names();
        all.extend(others.map(|(_, worker)| worker.id.clone()));
        self.pairs.left_out(&all, self.now)
    }

    fn waiting_names(&self) -> BTreeSet<WorkerId> {
        let waiting = self.roster.waiting();
        waiting
            .map(|(seat, _)| self.roster.worker(seat).id.clone())
            .collect()
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

    /// The state to go on from: the one that is furthest of those that go on, if it is the run's and
    /// no checkpoint is ahead of it.
    fn source(&self, without: &BTreeSet<WorkerId>) -> Option<(Rank, Stamp)> {
        let rollback = matches!(&self.run, Run::Waiting(waiting) if waiting.rollback);
        let checkpoint = self.checkpoints.latest_stamp();
        let going = self.roster.waiting();
        let going = going.filter(|(seat, _)| !without.contains(&self.roster.worker(*seat).id));
        let stamps = (0..).map(Rank).zip(going.map(|(_, stamp)| stamp));
        let held = stamps.filter(|(_, stamp)| self.lineage.holds(*stamp));
        // Of equals the first rank.
        let furthest = held.max_by_key(|(rank, stamp)| (*stamp, std::cmp::Reverse(*rank)));
        furthest.filter(|(_, held)| {
            !rollback && checkpoint.is_none_or(|checkpoint| checkpoint <= *held)
        })
    }

    /// Deals a world; its record comes before anyone sees it.
    fn form(&mut self) {
        let Run::Waiting(Waiting { stop, .. }) = self.run else {
            return;
        };
        // What older generations reported goes into their own segments.
        self.flush();
        let waiting = self.waiting_names();
        self.pairs.settle(&waiting, self.now);
        let without = self.pairs.left_out(&waiting, self.now);
        for worker in &without {
            self.tell(
                Topic::Notice,
                format!("worker {worker} is left out for now: a peer cannot reach it"),
            );
        }
        let source = self.source(&without);
        let CoreConfig {
            lanes, lane_group, ..
        } = self.config;
        self.generation = self.generation.next();
        let members = self.roster.form(self.generation, &without, self.now);
        let latest = self.checkpoints.latest().filter(|_| source.is_none());
        let checkpoint = latest.map(|name| name.step).unwrap_or_default();
        let start = source.map_or(checkpoint, |(_, stamp)| stamp.step);
        let attempt = self.entropy.attempt();
        let size = WorldSize(u32::try_from(members.len()).unwrap_or(u32::MAX));
        let world = World {
            term: self.term,
            generation: self.generation,
            members,
            lanes: LaneTable::deal(lanes, lane_group, size),
            start,
            source: source.map(|(rank, _)| rank),
            restore: latest.map(|name| name.directory()),
            passed_over: self.rollbacks.passed_over(start),
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

    pub(crate) fn world_formed(&mut self) {
        let Run::Forming { world, stop } = &self.run else {
            return;
        };
        let (world, stop) = ((**world).clone(), *stop);
        self.lineage.add(world.generation, world.start);
        self.progress.restart(world.start);
        self.written = self.written.min(self.progress.step);
        self.evaluations.restart(world.start);
        for flush in &mut self.flushes {
            flush.step = flush.step.min(world.start);
            flush.evaluation = flush.evaluation.min(world.start);
        }
        self.skips.redo_from(world.start);
        self.watch.restart(self.now, world.start);
        self.uncommitted_since = self.now;
        let size = world.size();
        if world.generation > Generation(1) {
            let (generation, start) = (world.generation, world.start);
            let go = workers_go(size.index());
            self.tell(
                Topic::Formed,
                format!("generation {generation}: {go} on from step {start}"),
            );
        }
        self.watch_for_stragglers(&world);
        self.run = Run::Active(Box::new(Active {
            directive: world.directive,
            world,
            attempts: Attempts::default(),
            stage: Stage::Training,
            complete_by: None,
        }));
        if self.roster.members_of(self.generation).count() < size.index() {
            // One left while the record was written.
            self.break_up();
        }
        if stop {
            self.stop();
        }
    }
}

/// `1 worker goes`, `2 workers go`.
fn workers_go(count: usize) -> String {
    let go = if count == 1 { "goes" } else { "go" };
    format!("{} {go}", workers(count))
}

/// `1 worker`, `2 workers`.
pub(crate) fn workers(count: usize) -> String {
    match count {
        1 => "1 worker".to_owned(),
        count => format!("{count} workers"),
    }
}
