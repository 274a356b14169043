//! Any order of events: what must hold is checked by the rig after every one.

use crate::rig::{Rig, Worker, config, step_report};
use proptest::prelude::*;
use std::time::Duration;
use twinspan_coordinator_core::{Event, Request, Response};
use twinspan_types::{
    Directive, Fence, Generation, GenerationFault, Leave, LeaveOutcome, Nonce, Phase, Rank, Ready,
    ServiceError, SessionSecret, Stamp, Step, Term, WorldState,
};

const WORKERS: usize = 3;
const STEPS: u64 = 12;

#[derive(Debug, Clone, Copy)]
enum Forgery {
    OldTerm,
    UnknownGeneration,
    Secret,
    Stranger,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    World,
    Lease,
    Report,
    Parts,
    Leave,
}

#[derive(Debug, Clone)]
enum Op {
    Join(usize),
    GetWorld(usize),
    /// The generation breaks for a worker, which misses a peer.
    Break(usize, u32),
    Lease(usize),
    Step,
    Heartbeat(usize),
    Parts(usize),
    PartsOfAnotherAttempt(usize),
    Leave(usize, bool),
    Stop,
    CompleteWrite,
    Advance(u64),
    Forge(usize, Kind, Forgery),
    RestartCoordinator,
    ReplaceWorker(usize),
    Drain(usize),
    Fault(usize, Trouble),
    StandStill(usize),
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Diverged(u32),
    NoMajority,
    NotFinite,
    DamagedCheckpoint,
}

fn op() -> impl Strategy<Value = Op> {
    let worker = || 0..WORKERS;
    let forgery = prop_oneof![
        Just(Forgery::OldTerm),
        Just(Forgery::UnknownGeneration),
        Just(Forgery::Secret),
        Just(Forgery::Stranger),
    ];
    let trouble = prop_oneof![
        (0..WORKERS as u32).prop_map(Trouble::Diverged),
        Just(Trouble::NoMajority),
        Just(Trouble::NotFinite),
        Just(Trouble::DamagedCheckpoint),
    ];
    let kind = prop_oneof![
        Just(Kind::World),
        Just(Kind::Lease),
        Just(Kind::Report),
        Just(Kind::Parts),
        Just(Kind::Leave),
    ];
    prop_oneof![
        8 => worker().prop_map(Op::Join),
        8 => worker().prop_map(Op::GetWorld),
        2 => (worker(), 0..WORKERS as u32).prop_map(|(worker, lost)| Op::Break(worker, lost)),
        3 => worker().prop_map(Op::Lease),
        20 => Just(Op::Step),
        4 => worker().prop_map(Op::Heartbeat),
        20 => worker().prop_map(Op::Parts),
        2 => worker().prop_map(Op::PartsOfAnotherAttempt),
        1 => (worker(), any::<bool>()).prop_map(|(worker, done)| Op::Leave(worker, done)),
        1 => Just(Op::Stop),
        20 => Just(Op::CompleteWrite),
        6 => (0_u64..3000).prop_map(Op::Advance),
        8 => (worker(), kind, forgery).prop_map(|(worker, kind, forgery)| Op::Forge(worker, kind, forgery)),
        1 => Just(Op::RestartCoordinator),
        1 => worker().prop_map(Op::ReplaceWorker),
        1 => worker().prop_map(Op::Drain),
        1 => (worker(), trouble).prop_map(|(worker, trouble)| Op::Fault(worker, trouble)),
        1 => worker().prop_map(Op::StandStill),
    ]
}

/// Workers that step together and carry out orders as the step vote has it.
struct Party {
    rig: Rig,
    workers: Vec<Worker>,
    joined: u64,
    step: u64,
    generation: Generation,
    seen: Option<Directive>,
    done: Option<(Term, u64)>,
    /// The checkpoint that the ranks are writing.
    writing: Option<(u64, Nonce)>,
}

impl Party {
    fn new() -> Self {
        Self {
            rig: Rig::new(config(WORKERS as u32, STEPS, 4)),
            workers: (0..WORKERS as u64).map(|n| Worker::new(n + 1)).collect(),
            joined: WORKERS as u64,
            step: 0,
            generation: Generation(0),
            seen: None,
            done: None,
            writing: None,
        }
    }

    fn is_at_work(&self) -> bool {
        let in_it = |worker: &&Worker| {
            worker
                .world
                .as_ref()
                .is_some_and(|world| world.generation == self.generation)
        };
        let world = self
            .workers
            .iter()
            .find(in_it)
            .and_then(|worker| worker.world.as_ref());
        let there = self.workers.iter().filter(in_it).count();
        world.is_some_and(|world| world.size().index() == there)
    }

    /// The worker that holds rank 0.
    fn first(&self) -> Option<usize> {
        let is_first = |worker: &Worker| worker.rank() == Some(Rank(0));
        self.workers
            .iter()
            .position(|worker| worker.fence.generation == self.generation && is_first(worker))
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Join(worker) => {
                let _ = self.workers[worker].join(&mut self.rig);
            }
            Op::GetWorld(worker) if self.workers[worker].world.is_none() => {
                self.get_world(worker);
            }
            Op::GetWorld(_) => {}
            Op::Break(worker, lost) => {
                let _ = self.workers[worker].leave_world(&mut self.rig, self.step, Some(lost));
            }
            Op::Lease(worker) => {
                let fence = self.workers[worker].fence.clone();
                let _ = self.rig.ask(Request::ExtendLease(fence, Step(self.step)));
            }
            Op::Step => self.step(),
            Op::Heartbeat(worker) => {
                let request = self.workers[worker].report_request(self.step, Vec::new());
                let reply = self.rig.ask(request);
                self.heed(worker, reply);
            }
            Op::Parts(worker) => {
                if let Some((step, attempt)) = self.writing.filter(|_| self.is_at_work()) {
                    self.store(worker, step, attempt);
                }
            }
            Op::PartsOfAnotherAttempt(worker) => {
                if self.workers[worker].world.is_some() {
                    self.store(worker, self.step, Nonce(u64::MAX));
                }
            }
            Op::Leave(worker, done) => {
                let outcome = match done {
                    true => LeaveOutcome::Done,
                    false => LeaveOutcome::Failed {
                        reason: "x".to_owned(),
                    },
                };
                let fence = self.workers[worker].fence.clone();
                let _ = self.rig.ask(Request::Leave(Leave { fence, outcome }));
            }
            Op::Stop => self.rig.event(Event::StopRequested),
            Op::CompleteWrite => {
                self.rig.complete_write();
            }
            Op::Advance(ms) => self.rig.advance(Duration::from_millis(ms)),
            Op::Forge(worker, kind, forgery) => self.forge(worker, kind, forgery),
            Op::RestartCoordinator => self.rig.restart(),
            Op::ReplaceWorker(worker) => {
                self.joined += 1;
                self.workers[worker] = Worker::new(self.joined);
            }
            Op::Drain(worker) => self.workers[worker].draining = true,
            Op::Fault(worker, trouble) => {
                if self.workers[worker].world.is_some() {
                    let fault = self.fault(trouble);
                    let _ = self.workers[worker].leave_world_for(&mut self.rig, fault);
                }
            }
            Op::StandStill(worker) => self.workers[worker].phase = Phase::Collective,
        }
    }

    fn fault(&self, trouble: Trouble) -> GenerationFault {
        match trouble {
            Trouble::Diverged(rank) => GenerationFault::Diverged {
                step: Step(self.step),
                ranks: vec![Rank(rank)],
            },
            Trouble::NoMajority => GenerationFault::Diverged {
                step: Step(self.step),
                ranks: (0..WORKERS as u32).map(Rank).collect(),
            },
            Trouble::NotFinite => GenerationFault::NotFinite {
                steps: vec![Step(self.step), Step(self.step + 1)],
            },
            Trouble::DamagedCheckpoint => GenerationFault::DamagedCheckpoint {
                what: "x".to_owned(),
            },
        }
    }

    /// A worker leaves its generation in order: for the next, or for good.
    fn leave(&mut self, worker: usize) {
        if !self.workers[worker].draining {
            let _ = self.workers[worker].leave_world(&mut self.rig, self.step, None);
            return;
        }
        let fence = self.workers[worker].fence.clone();
        let outcome = LeaveOutcome::Done;
        let _ = self.rig.ask(Request::Leave(Leave { fence, outcome }));
        self.joined += 1;
        self.workers[worker] = Worker::new(self.joined);
    }

    /// A worker that hears that its generation is over, or that it is not known, leaves it.
    fn heed(&mut self, worker: usize, reply: Result<Response, ServiceError>) {
        match reply {
            Ok(Response::Report(reply)) if reply.superseded => self.leave(worker),
            Err(ServiceError::NotJoined { .. } | ServiceError::Fenced { .. }) => {
                self.joined += 1;
                let _ = self.workers[worker].join_again(&mut self.rig, self.joined, self.step);
            }
            _ => {}
        }
    }

    fn get_world(&mut self, worker: usize) {
        let state = self.workers[worker].get_world(&mut self.rig);
        if let Ok(WorldState::Formed(world)) = state
            && self.generation < world.generation
        {
            (self.step, self.generation) = (world.start.0, world.generation);
            (self.seen, self.done, self.writing) = (Some(world.directive), None, None);
        }
    }

    fn step(&mut self) {
        if !self.is_at_work() || self.writing.is_some() || self.step >= STEPS {
            return;
        }
        let Some(first) = self.first() else {
            return;
        };
        self.step += 1;
        let reports = (1..=self.step).map(step_report).collect();
        let request = self.workers[first].report_request(self.step, reports);
        let reply = self.rig.ask(request);
        if let Ok(Response::Report(reply)) = &reply
            && reply.directive.is_some()
        {
            self.seen = reply.directive;
        }
        self.heed(first, reply);
        if let Some(order) = self.seen
            && self.done < Some(order.precedence())
            && order.at_step.0 <= self.step
        {
            self.done = Some(order.precedence());
            self.writing = order
                .checkpoint
                .map(|checkpoint| (self.step, checkpoint.attempt));
            if order.reform {
                for worker in 0..WORKERS {
                    if self.workers[worker].world.is_some() {
                        self.leave(worker);
                    }
                }
            }
        }
    }

    fn store(&mut self, worker: usize, step: u64, attempt: Nonce) {
        if self.workers[worker].rank().is_none() {
            return;
        }
        let mut stored = self.workers[worker].parts_request(step, attempt);
        stored.stop = self.rig.is_last(attempt);
        let parts = stored.parts.clone();
        self.rig.note_stored(attempt, Step(step), &parts);
        let reply = self.rig.ask(Request::PartsStored(stored));
        if let Ok(Response::Parts { committed: true }) = reply {
            self.writing = None;
        }
    }

    /// A message that must be refused and change nothing.
    fn forge(&mut self, worker: usize, kind: Kind, forgery: Forgery) {
        let worker = &self.workers[worker];
        let mut fence: Fence = worker.fence.clone();
        match forgery {
            Forgery::OldTerm => fence.term = Term(fence.term.0.wrapping_sub(1)),
            Forgery::UnknownGeneration => {
                let highest = self.rig.generations().into_iter().max();
                fence.generation = highest.unwrap_or_default().next();
            }
            Forgery::Secret => fence.secret = SessionSecret(fence.secret.0 ^ 1),
            Forgery::Stranger => fence.worker.0.push('x'),
        }
        let attempt = self.writing.map_or(Nonce(1), |(_, attempt)| attempt);
        let request = match kind {
            Kind::World => Request::GetWorld(Ready {
                fence,
                stamp: Stamp::default(),
                fault: None,
            }),
            Kind::Lease => Request::ExtendLease(fence, Step(self.step)),
            Kind::Report => {
                let mut forged = worker.clone();
                forged.fence = fence;
                forged.report_request(self.step + 1, vec![step_report(self.step + 1)])
            }
            Kind::Parts if worker.rank().is_some() => {
                let mut stored = worker.parts_request(self.step, attempt);
                stored.fence = fence;
                Request::PartsStored(stored)
            }
            Kind::Parts => return,
            // Leaving twice is allowed to a worker whose seat is free again.
            Kind::Leave if !matches!(forgery, Forgery::OldTerm) => return,
            Kind::Leave => Request::Leave(Leave {
                fence,
                outcome: LeaveOutcome::Done,
            }),
        };
        while self
            .rig
            .core
            .next_deadline()
            .is_some_and(|at| at <= self.rig.now)
        {
            self.rig.event(Event::Tick);
        }
        let before = self.rig.core.status();
        self.rig
            .ask(request)
            .expect_err("a forged message was taken");
        assert_eq!(
            self.rig.core.status(),
            before,
            "a forged message changed something"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_order_every_claim_holds(ops in prop::collection::vec(op(), 1..250)) {
        let mut party = Party::new();
        for op in ops {
            party.apply(op);
        }
    }
}

#[test]
fn an_undisturbed_party_reaches_the_last_step() {
    let mut party = Party::new();
    for worker in 0..WORKERS {
        party.apply(Op::Join(worker));
    }
    party.apply(Op::CompleteWrite);
    for worker in 0..WORKERS {
        party.apply(Op::GetWorld(worker));
    }
    for _ in 0..STEPS * 4 {
        party.apply(Op::Step);
        for worker in 0..WORKERS {
            party.apply(Op::Parts(worker));
        }
        party.rig.complete_writes();
        party.apply(Op::Parts(0));
    }
    for worker in 0..WORKERS {
        party.apply(Op::Leave(worker, true));
    }
    party.rig.complete_writes();
    assert!(matches!(
        party.rig.outcome,
        Some(twinspan_coordinator_core::Outcome::Ended {
            step: Step(STEPS),
            ..
        })
    ));
}
