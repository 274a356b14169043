//! Who has joined, in the order of joining, and which rank each holds in the last generation.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use twinspan_types::{
    Claim, Fence, Generation, Join, Joined, Lifetime, Member, Nonce, Phase, Rank, Report,
    ServiceError, SessionSecret, Stamp, Step, Term, Vitals, WorkerId, World, WorldSize,
};

/// How long a worker that was lost for the second time waits for a place; it doubles with each
/// further time.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// How long one waits at the most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A worker's place in the order of joining.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(usize);

/// Whether a worker is still to be waited for at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Taking part.
    Here,
    /// It has left, or it is held to be dead.
    Gone,
}

/// One worker.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    nonce: Nonce,
    secret: SessionSecret,
    /// Whether it came with its place in a generation of an earlier term.
    adopted: bool,
    build: String,
    pub(crate) device: String,
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) presence: Presence,
    /// The last generation of this term that it is a member of, and its rank there.
    pub(crate) place: Option<(Generation, Rank)>,
    /// What its state is, once it waits for the next generation.
    pub(crate) ready: Option<Stamp>,
    /// Since when it has been told to go: it leaves at a boundary.
    pub(crate) draining: Option<Duration>,
    /// How often it was lost and has come back.
    losses: u32,
    /// Before this time it gets no place in a running generation.
    pub(crate) waits_until: Duration,
    /// How often its state differed from the others'.
    pub(crate) divergences: u32,
    /// Since when a peer could not go on without it.
    pub(crate) missed_since: Option<Duration>,
    /// When it was last heard.
    pub(crate) heard: Duration,
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) collective_sequence: u64,
    /// How far it is by its own count.
    progress: u64,
    /// When it last told of itself.
    pub(crate) reported: Duration,
    /// When phase, step, collective or count last changed.
    pub(crate) moved: Duration,
    /// The last step that it may read its lanes for.
    pub(crate) lease: Step,
    /// When that was last extended.
    pub(crate) leased: Option<Duration>,
    pub(crate) vitals: Vitals,
}

/// The workers of this term.
#[derive(Debug)]
pub(crate) struct Roster {
    term: Term,
    most: WorldSize,
    /// Names ever given, so that none is given twice.
    named: u64,
    workers: Vec<Worker>,
    /// How often each worker was lost that has not come back.
    lost: BTreeMap<WorkerId, u32>,
}

impl Roster {
    pub(crate) fn new(term: Term, most: WorldSize) -> Self {
        Self {
            term,
            most,
            named: 0,
            workers: Vec::new(),
            lost: BTreeMap::new(),
        }
    }

    pub(crate) fn joined(&self) -> WorldSize {
        WorldSize(u32::try_from(self.workers.len()).unwrap_or(u32::MAX))
    }

    /// What a repeated join is answered, where `last` is the last generation.
    pub(crate) fn rejoin(&self, nonce: Nonce, last: Generation) -> Option<Joined> {
        let worker = self.workers.iter().find(|worker| worker.nonce == nonce)?;
        let is_last = worker.place.is_some_and(|(place, _)| place == last);
        let admission = self.admission(worker);
        Some(Joined {
            adopted: admission.adopted && is_last,
            ..admission
        })
    }

    fn admission(&self, worker: &Worker) -> Joined {
        Joined {
            worker: worker.id.clone(),
            secret: worker.secret,
            term: self.term,
            adopted: worker.adopted,
        }
    }

    /// Takes a member of a generation of an earlier term in, under its old name.
    pub(crate) fn adopt(
        &mut self,
        join: Join,
        world: &World,
        rank: Rank,
        secret: SessionSecret,
        now: Duration,
    ) -> Result<Joined, ServiceError> {
        let Member { worker: id, .. } = &world.members[rank.index()];
        self.workers.retain(|worker| worker.id != *id);
        self.check(&join)?;
        let mut worker = Worker::new(id.clone(), join, secret, now);
        worker.adopted = true;
        worker.place = Some((world.generation, rank));
        worker.step = world.start;
        let admission = self.admission(&worker);
        self.workers.push(worker);
        Ok(admission)
    }

    /// Takes a worker in, if a seat is free and its build is that of the first.
    pub(crate) fn admit(
        &mut self,
        join: Join,
        secret: SessionSecret,
        now: Duration,
    ) -> Result<Joined, ServiceError> {
        self.check(&join)?;
        self.named += 1;
        let id = WorkerId(format!("w{}-{}", self.term, self.named));
        let former = join.claim.as_ref().map(|Claim { worker, .. }| worker);
        let losses = former.and_then(|former| self.lost.remove(former));
        let mut worker = Worker::new(id, join, secret, now);
        if let Some(losses) = losses {
            worker.losses = losses;
            worker.waits_until = now + wait_after(losses);
        }
        let admission = self.admission(&worker);
        self.workers.push(worker);
        Ok(admission)
    }

    /// That a seat is free and the build is that of the first.
    fn check(&self, join: &Join) -> Result<(), ServiceError> {
        if self.joined() >= self.most {
            return Err(ServiceError::Full { wanted: self.most });
        }
        if let Some(first) = self
            .workers
            .first()
            .filter(|first| first.build != join.build)
        {
            return Err(ServiceError::BuildMismatch {
                ours: first.build.clone(),
                theirs: join.build.clone(),
            });
        }
        Ok(())
    }

    /// Who speaks, if it joined in this term with this secret and speaks of no generation beyond
    /// the last one.
    pub(crate) fn speaker(&self, fence: &Fence, last: Generation) -> Result<Seat, ServiceError> {
        if fence.term != self.term {
            return Err(self.fenced(fence, last));
        }
        let matches = |worker: &Worker| worker.id == fence.worker && worker.secret == fence.secret;
        let Some(seat) = self.workers.iter().position(matches) else {
            return Err(ServiceError::NotJoined {
                worker: fence.worker.0.clone(),
            });
        };
        match fence.generation > last {
            true => Err(self.fenced(fence, last)),
            false => Ok(Seat(seat)),
        }
    }

    /// The refusal of a message of another lifetime.
    pub(crate) fn fenced(&self, fence: &Fence, last: Generation) -> ServiceError {
        ServiceError::Fenced {
            ours: Lifetime {
                term: self.term,
                generation: last,
            },
            theirs: Lifetime {
                term: fence.term,
                generation: fence.generation,
            },
        }
    }

    pub(crate) fn knows(&self, id: &WorkerId) -> bool {
        self.workers.iter().any(|worker| worker.id == *id)
    }

    pub(crate) fn worker(&self, seat: Seat) -> &Worker {
        &self.workers[seat.0]
    }

    pub(crate) fn worker_mut(&mut self, seat: Seat) -> &mut Worker {
        &mut self.workers[seat.0]
    }

    pub(crate) fn of_rank(&self, generation: Generation, rank: Rank) -> Option<Seat> {
        let place = Some((generation, rank));
        let seat = self.workers.iter().position(|worker| worker.place == place);
        seat.map(Seat)
    }

    /// The worker that joined first.
    pub(crate) fn first(&self) -> Option<Seat> {
        self.workers().next().map(|(seat, _)| seat)
    }

    /// The members of a generation that are still here.
    pub(crate) fn members_of(
        &self,
        generation: Generation,
    ) -> impl Iterator<Item = (Seat, &Worker)> {
        let of = move |worker: &Worker| worker.place.is_some_and(|(of, _)| of == generation);
        self.workers().filter(move |(_, worker)| of(worker))
    }

    /// Those who wait for the next generation, in the order of joining.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (Seat, Stamp)> + Clone {
        let staying = self
            .workers()
            .filter(|(_, worker)| worker.draining.is_none());
        staying.filter_map(|(seat, worker)| Some((seat, worker.ready?)))
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = (Seat, &Worker)> + Clone {
        self.workers
            .iter()
            .enumerate()
            .map(|(seat, worker)| (Seat(seat), worker))
    }

    /// Frees a seat; later joiners move up. If the worker comes back, it is known to have been lost.
    pub(crate) fn remove(&mut self, seat: Seat) {
        let worker = self.workers.remove(seat.0);
        self.lost.insert(worker.id, worker.losses + 1);
    }

    /// Whether the members of a generation have all left.
    pub(crate) fn all_have_gone(&self, generation: Generation) -> bool {
        self.members_of(generation)
            .all(|(_, member)| member.presence == Presence::Gone)
    }

    pub(crate) fn nobody_is_here(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.presence == Presence::Gone)
    }

    /// Makes those who wait, without some, the members of a generation, ranked in the order of
    /// joining.
    pub(crate) fn form(
        &mut self,
        generation: Generation,
        without: &BTreeSet<WorkerId>,
        now: Duration,
    ) -> Vec<Member> {
        let mut members = Vec::new();
        let can = |worker: &&mut Worker| worker.draining.is_none() && !without.contains(&worker.id);
        for worker in self.workers.iter_mut().filter(can) {
            let Some(stamp) = worker.ready.take() else {
                continue;
            };
            let rank = Rank(u32::try_from(members.len()).unwrap_or(u32::MAX));
            worker.place = Some((generation, rank));
            worker.missed_since = None;
            worker.lease = Step(0);
            worker.step = stamp.step;
            (worker.reported, worker.moved) = (now, now);
            worker.adopted = false;
            members.push(Member {
                worker: worker.id.clone(),
                address: worker.address.clone(),
            });
        }
        members
    }
}

/// How long a worker waits for a place that was lost so many times.
fn wait_after(losses: u32) -> Duration {
    match losses {
        0 | 1 => Duration::ZERO,
        losses => (FIRST_WAIT * 2_u32.saturating_pow(losses - 2)).min(LONGEST_WAIT),
    }
}

impl Worker {
    fn new(id: WorkerId, join: Join, secret: SessionSecret, now: Duration) -> Self {
        Self {
            id,
            nonce: join.nonce,
            secret,
            adopted: false,
            build: join.build,
            device: join.device,
            address: join.address,
            host: join.host,
            pid: join.pid,
            presence: Presence::Here,
            place: None,
            ready: None,
            draining: None,
            losses: 0,
            waits_until: now,
            divergences: 0,
            missed_since: None,
            heard: now,
            phase: Phase::Joining,
            step: Step(0),
            collective_sequence: 0,
            progress: 0,
            reported: now,
            moved: now,
            lease: Step(0),
            leased: None,
            vitals: Vitals::default(),
        }
    }

    /// It waits for the next generation with this state.
    pub(crate) fn wait_with(&mut self, stamp: Stamp, now: Duration) {
        if self.ready.replace(stamp).is_none() {
            self.waits_until = self.waits_until.max(now);
        }
    }

    /// Takes note of where it is.
    pub(crate) fn progressed(&mut self, report: &Report, now: Duration) {
        let before = (
            self.phase,
            self.progress,
            self.collective_sequence,
            self.step,
        );
        self.reported = now;
        self.phase = report.phase;
        self.progress = report.progress;
        self.collective_sequence = report.collective_sequence;
        self.vitals = report.vitals;
        if report.draining {
            self.draining.get_or_insert(now);
        }
        let present = (
            self.phase,
            self.progress,
            self.collective_sequence,
            report.step,
        );
        if before != present {
            self.moved = now;
        }
    }

    /// `rank 1 (worker w1-2, pid 77 on gpu-3, at step 41 in phase Collective, collective 12)`.
    pub(crate) fn describe(&self) -> String {
        let name = format!("worker {}, pid {} on {}", self.id, self.pid, self.host);
        match self.place {
            Some((_, rank)) => format!(
                "rank {rank} ({name}, at step {} in phase {:?}, collective {})",
                self.step, self.phase, self.collective_sequence
            ),
            None => name,
        }
    }
}
