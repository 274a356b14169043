//! Who has joined, in the order of joining, and which rank each holds in the last generation.

use std::time::Duration;
use twinspan_types::{
    Fence, Generation, Join, Joined, Lifetime, Member, Nonce, Phase, Rank, ServiceError,
    SessionSecret, Stamp, Step, Term, WorkerId, WorldSize,
};

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
    build: String,
    pub(crate) address: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    pub(crate) presence: Presence,
    /// The last generation of this term that it is a member of, and its rank there.
    pub(crate) place: Option<(Generation, Rank)>,
    /// What its state is, once it waits for the next generation.
    pub(crate) ready: Option<Stamp>,
    /// Since when a peer could not go on without it.
    pub(crate) missed_since: Option<Duration>,
    /// When it was last heard.
    pub(crate) heard: Duration,
    pub(crate) phase: Phase,
    pub(crate) step: Step,
    pub(crate) collective_sequence: u64,
    /// The last step that it may read its lanes for.
    pub(crate) lease: Step,
}

/// The workers of this term.
#[derive(Debug)]
pub(crate) struct Roster {
    term: Term,
    most: WorldSize,
    /// Names ever given, so that none is given twice.
    named: u64,
    workers: Vec<Worker>,
}

impl Roster {
    pub(crate) fn new(term: Term, most: WorldSize) -> Self {
        Self {
            term,
            most,
            named: 0,
            workers: Vec::new(),
        }
    }

    pub(crate) fn joined(&self) -> WorldSize {
        WorldSize(u32::try_from(self.workers.len()).unwrap_or(u32::MAX))
    }

    /// What a repeated join is answered.
    pub(crate) fn rejoin(&self, nonce: Nonce) -> Option<Joined> {
        let worker = self.workers.iter().find(|worker| worker.nonce == nonce)?;
        Some(self.admission(worker))
    }

    fn admission(&self, worker: &Worker) -> Joined {
        Joined {
            worker: worker.id.clone(),
            secret: worker.secret,
            term: self.term,
        }
    }

    /// Takes a worker in, if a seat is free and its build is that of the first.
    pub(crate) fn admit(
        &mut self,
        join: Join,
        secret: SessionSecret,
        now: Duration,
    ) -> Result<Joined, ServiceError> {
        if self.joined() >= self.most {
            return Err(ServiceError::Full { wanted: self.most });
        }
        if let Some(first) = self
            .workers
            .first()
            .filter(|first| first.build != join.build)
        {
            let ours = first.build.clone();
            return Err(ServiceError::BuildMismatch {
                ours,
                theirs: join.build,
            });
        }
        self.named += 1;
        let worker = Worker {
            id: WorkerId(format!("w{}-{}", self.term, self.named)),
            nonce: join.nonce,
            secret,
            build: join.build,
            address: join.address,
            host: join.host,
            pid: join.pid,
            presence: Presence::Here,
            place: None,
            ready: Some(join.stamp),
            missed_since: None,
            heard: now,
            phase: Phase::Joining,
            step: Step(0),
            collective_sequence: 0,
            lease: Step(0),
        };
        let admission = self.admission(&worker);
        self.workers.push(worker);
        Ok(admission)
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
        self.workers()
            .filter_map(|(seat, worker)| Some((seat, worker.ready?)))
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = (Seat, &Worker)> + Clone {
        self.workers
            .iter()
            .enumerate()
            .map(|(seat, worker)| (Seat(seat), worker))
    }

    /// Frees a seat; later joiners move up.
    pub(crate) fn remove(&mut self, seat: Seat) {
        self.workers.remove(seat.0);
    }

    pub(crate) fn nobody_is_here(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.presence == Presence::Gone)
    }

    /// Makes those who wait the members of a generation, ranked in the order of joining.
    pub(crate) fn form(&mut self, generation: Generation) -> Vec<Member> {
        let mut members = Vec::new();
        for worker in &mut self.workers {
            let Some(stamp) = worker.ready.take() else {
                continue;
            };
            let rank = Rank(u32::try_from(members.len()).unwrap_or(u32::MAX));
            worker.place = Some((generation, rank));
            worker.missed_since = None;
            worker.lease = Step(0);
            worker.step = stamp.step;
            members.push(Member {
                worker: worker.id.clone(),
                address: worker.address.clone(),
            });
        }
        members
    }
}

impl Worker {
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
