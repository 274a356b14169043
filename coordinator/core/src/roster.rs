//! Who has joined, in the order of joining: a worker's seat becomes its rank.

use std::time::Duration;
use twinspan_types::{
    Fence, Generation, Join, Joined, Lifetime, Member, Nonce, Phase, Rank, ServiceError,
    SessionSecret, Step, Term, WorkerId, WorldSize,
};

/// A worker's place in the order of joining; its rank once a world is formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat(usize);

impl Seat {
    pub(crate) fn rank(self) -> Rank {
        Rank(u32::try_from(self.0).unwrap_or(u32::MAX))
    }
}

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
    wanted: WorldSize,
    /// Names ever given, so that none is given twice.
    named: u64,
    workers: Vec<Worker>,
}

impl Roster {
    pub(crate) fn new(term: Term, wanted: WorldSize) -> Self {
        Self {
            term,
            wanted,
            named: 0,
            workers: Vec::new(),
        }
    }

    pub(crate) fn joined(&self) -> WorldSize {
        WorldSize(u32::try_from(self.workers.len()).unwrap_or(u32::MAX))
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.joined() >= self.wanted
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
        if self.is_complete() {
            return Err(ServiceError::Full {
                wanted: self.wanted,
            });
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

    /// Who speaks, if it joined in this term with this secret and speaks of this generation, or of
    /// none yet. `formed` is the generation of this term.
    pub(crate) fn speaker(
        &self,
        fence: &Fence,
        formed: Option<Generation>,
    ) -> Result<Seat, ServiceError> {
        let fenced = || ServiceError::Fenced {
            ours: Lifetime {
                term: self.term,
                generation: formed.unwrap_or_default(),
            },
            theirs: Lifetime {
                term: fence.term,
                generation: fence.generation,
            },
        };
        if fence.term != self.term {
            return Err(fenced());
        }
        let matches = |worker: &Worker| worker.id == fence.worker && worker.secret == fence.secret;
        let Some(seat) = self.workers.iter().position(matches) else {
            return Err(ServiceError::NotJoined {
                worker: fence.worker.0.clone(),
            });
        };
        if fence.generation != Generation(0) && Some(fence.generation) != formed {
            return Err(fenced());
        }
        Ok(Seat(seat))
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

    pub(crate) fn of_rank(&self, rank: Rank) -> Option<Seat> {
        (rank.index() < self.workers.len()).then_some(Seat(rank.index()))
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = (Seat, &Worker)> + Clone {
        self.workers
            .iter()
            .enumerate()
            .map(|(seat, worker)| (Seat(seat), worker))
    }

    /// Frees a seat before a world is formed; later joiners move up.
    pub(crate) fn remove(&mut self, seat: Seat) {
        self.workers.remove(seat.0);
    }

    pub(crate) fn nobody_is_here(&self) -> bool {
        self.workers
            .iter()
            .all(|worker| worker.presence == Presence::Gone)
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        let member = |worker: &Worker| Member {
            worker: worker.id.clone(),
            address: worker.address.clone(),
        };
        self.workers.iter().map(member).collect()
    }
}

impl Worker {
    /// `worker w1-2, pid 77 on gpu-3`.
    pub(crate) fn describe(&self) -> String {
        format!("worker {}, pid {} on {}", self.id, self.pid, self.host)
    }
}
