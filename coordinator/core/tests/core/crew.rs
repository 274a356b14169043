//! Workers that step together.

use crate::rig::{Rig, Worker, config, step_report};
use twinspan_coordinator_core::{CoreConfig, Outcome, Request, Response};
use twinspan_types::{
    Directive, Leave, LeaveOutcome, Nonce, ReportReply, ServiceError, World, WorldState,
};

/// Workers that do what they are told, and what they talk to.
pub struct Crew {
    pub rig: Rig,
    pub workers: Vec<Worker>,
}

impl Crew {
    /// Workers in a formed world.
    pub fn at_work(workers: u32, total_steps: u64, every: u64) -> Self {
        Self::with(config(workers, total_steps, every))
    }

    pub fn with(config: CoreConfig) -> Self {
        let workers = config.workers.0;
        let mut rig = Rig::new(config);
        let mut workers: Vec<Worker> = (1..=workers).map(|n| Worker::new(n.into())).collect();
        for worker in &mut workers {
            worker.join(&mut rig).unwrap();
        }
        rig.complete_writes();
        for worker in &mut workers {
            assert!(matches!(
                worker.get_world(&mut rig).unwrap(),
                WorldState::Formed(_)
            ));
        }
        Self { rig, workers }
    }

    pub fn report(&mut self, worker: usize, step: u64, fresh: Vec<u64>) -> ReportReply {
        let steps = fresh.into_iter().map(step_report).collect();
        let request = self.workers[worker].report_request(step, steps);
        match self.rig.ask(request).unwrap() {
            Response::Report(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    /// All ranks commit these steps.
    pub fn step(&mut self, from: u64, to: u64) -> Directive {
        let mut order = None;
        for worker in 0..self.workers.len() {
            let fresh = if worker == 0 {
                (from..=to).collect()
            } else {
                Vec::new()
            };
            order = self.report(worker, to, fresh).directive;
        }
        order.unwrap()
    }

    pub fn store(
        &mut self,
        worker: usize,
        step: u64,
        attempt: Nonce,
    ) -> Result<bool, ServiceError> {
        let mut stored = self.workers[worker].parts_request(step, attempt);
        stored.stop = self.rig.is_last(attempt);
        self.rig.note_stored(attempt, stored.step, &stored.parts);
        match self.rig.ask(Request::PartsStored(stored))? {
            Response::Parts { committed } => Ok(committed),
            other => panic!("{other:?}"),
        }
    }

    pub fn checkpoint(&mut self, step: u64, order: Directive) {
        let attempt = order.checkpoint.unwrap().attempt;
        for worker in 0..self.workers.len() {
            assert_eq!(self.store(worker, step, attempt), Ok(false));
        }
        self.rig.complete_writes();
        for worker in 0..self.workers.len() {
            assert_eq!(self.store(worker, step, attempt), Ok(true));
        }
    }

    pub fn leave(&mut self, worker: usize, outcome: LeaveOutcome) {
        let fence = self.workers[worker].fence.clone();
        assert_eq!(
            self.rig.ask(Request::Leave(Leave { fence, outcome })),
            Ok(Response::Left)
        );
    }

    pub fn failure(&self) -> &str {
        match &self.rig.outcome {
            Some(Outcome::Failed { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// What the others make of a generation that broke: each asks for the next at its step.
    pub fn regroup(&mut self, steps: &[(usize, u64)], lost: Option<u32>) {
        for (worker, step) in steps {
            let asked = self.workers[*worker].leave_world(&mut self.rig, *step, lost);
            assert!(matches!(asked, Ok(WorldState::Pending { .. })), "{asked:?}");
        }
    }

    pub fn world_of(&mut self, worker: usize) -> World {
        match self.workers[worker].get_world(&mut self.rig) {
            Ok(WorldState::Formed(world)) => world,
            other => panic!("{other:?}"),
        }
    }

    /// Whether the operator was told something with all these words.
    pub fn was_told(&self, words: &[&str]) -> bool {
        let told = |text: &String| words.iter().all(|word| text.contains(word));
        self.rig.told.iter().any(told)
    }
}
