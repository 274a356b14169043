//! A core with a model of its surroundings that checks what must hold after every event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use twinspan_coordinator_core::{
    Action, Core, CoreConfig, Event, Outcome, Recovered, Request, Response, Token,
};
use twinspan_types::config::CheckpointConfig;
use twinspan_types::{
    CheckpointName, Claim, Cursor, Directive, Evaluation, Fact, Fence, Generation, GenerationFault,
    Join, Joined, Manifest, Nonce, Part, PartsStored, Phase, Rank, RankTrace, Ready, Report,
    ServiceError, SessionSecret, Skip, Stamp, Step, StepMetrics, StepReport, Term, Vitals,
    WorkerId, World, WorldSize, WorldState,
};

pub const LANES: u32 = 8;
pub const TIMEOUT: Duration = Duration::from_secs(5);

pub fn config(workers: u32, total_steps: u64, every_steps: u64) -> CoreConfig {
    CoreConfig {
        run: "rig".to_owned(),
        seed: 7,
        global_batch: 64,
        total_steps: Step(total_steps),
        lanes: LANES,
        streams: LANES,
        lane_group: 1,
        workers: WorldSize(workers),
        min_workers: WorldSize(1),
        max_workers: WorldSize(workers),
        checkpoint: CheckpointConfig {
            every_steps,
            every_minutes: None,
            keep_last: 2,
            keep_every: 0,
        },
        heartbeat_timeout: TIMEOUT,
        join_timeout: Duration::from_secs(60),
        step_timeout: Duration::from_secs(30),
        join_window: Duration::ZERO,
        lease_ahead: Duration::from_secs(60),
        max_skip_fraction: 0.1,
        dataset_samples: 100,
    }
}

/// The core, its clock, its store, and what was seen of it.
pub struct Rig {
    pub config: CoreConfig,
    pub core: Core,
    pub now: Duration,
    term: Term,
    next_token: u64,
    writes: VecDeque<Event>,
    pub log: Vec<Fact>,
    pub manifests: BTreeMap<CheckpointName, Manifest>,
    stored: BTreeSet<(Nonce, Step, String)>,
    pub removed: Vec<CheckpointName>,
    pub metrics: Vec<Step>,
    pub evaluations: Vec<Evaluation>,
    pub skips: Vec<Skip>,
    unflushed: bool,
    pub directives: BTreeMap<(Term, u64), Directive>,
    highest: Option<(Term, u64)>,
    pub outcome: Option<Outcome>,
    /// What the operator was told.
    pub told: Vec<String>,
    pub traces: Vec<(Rank, RankTrace)>,
}

impl Rig {
    pub fn new(config: CoreConfig) -> Self {
        let recovered = Recovered::replay(Term(1), []);
        Self {
            core: Core::new(config.clone(), recovered, [1; 32], Duration::ZERO),
            config,
            now: Duration::ZERO,
            term: Term(1),
            next_token: 0,
            writes: VecDeque::new(),
            log: Vec::new(),
            manifests: BTreeMap::new(),
            stored: BTreeSet::new(),
            removed: Vec::new(),
            metrics: Vec::new(),
            evaluations: Vec::new(),
            skips: Vec::new(),
            unflushed: false,
            directives: BTreeMap::new(),
            highest: None,
            outcome: None,
            told: Vec::new(),
            traces: Vec::new(),
        }
    }

    /// Kills the coordinator; another replays the log.
    pub fn restart(&mut self) {
        self.term = self.term.next();
        let mut recovered = Recovered::replay(self.term, &self.log);
        let latest = recovered.kept.last().map(|(name, _)| name.step);
        recovered.reported = latest.unwrap_or_default();
        let seed = [u8::try_from(self.term.0 % 251).unwrap(); 32];
        self.core = Core::new(self.config.clone(), recovered, seed, self.now);
        self.writes.clear();
        self.unflushed = false;
        self.outcome = None;
    }

    pub fn ask(&mut self, request: Request) -> Result<Response, ServiceError> {
        let token = Token(self.next_token);
        self.next_token += 1;
        let actions = self
            .core
            .handle(self.now, Event::Request { token, request });
        let mut replies = self.apply(actions);
        assert_eq!(replies.len(), 1, "one reply to one request");
        let (answered, reply) = replies.remove(0);
        assert_eq!(answered, token);
        reply
    }

    pub fn event(&mut self, event: Event) {
        let actions = self.core.handle(self.now, event);
        assert!(self.apply(actions).is_empty(), "a reply without a request");
    }

    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        self.event(Event::Tick);
    }

    /// Advances in steps as short as the core asks for.
    pub fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self.core.next_deadline().unwrap_or(end).max(self.now);
            self.now = next.clamp(self.now + Duration::from_millis(1), end);
            self.event(Event::Tick);
        }
    }

    /// Completes the oldest write that is on its way.
    pub fn complete_write(&mut self) -> bool {
        match self.writes.pop_front() {
            Some(event) => {
                if let Event::RecordLogged(fact, Ok(())) = &event {
                    self.log.push(fact.clone());
                }
                self.event(event);
                true
            }
            None => false,
        }
    }

    pub fn complete_writes(&mut self) {
        while self.complete_write() {}
    }

    pub fn generations(&self) -> Vec<Generation> {
        let generation = |fact: &Fact| match fact {
            Fact::WorldFormed { generation, .. } => Some(*generation),
            _ => None,
        };
        self.log.iter().filter_map(generation).collect()
    }

    fn is_logged(&self, wanted: &Fact) -> bool {
        self.log.contains(wanted)
    }

    /// Carries actions out and checks what must hold of each.
    fn apply(&mut self, actions: Vec<Action>) -> Vec<(Token, Result<Response, ServiceError>)> {
        let mut replies = Vec::new();
        for action in actions {
            let is_reply = matches!(action, Action::Reply(..));
            assert!(
                is_reply || self.outcome.is_none(),
                "{action:?} after the end"
            );
            match action {
                Action::Reply(token, reply) => {
                    self.check_reply(&reply);
                    replies.push((token, reply));
                }
                Action::Log(fact) => {
                    self.check_fact(&fact);
                    self.writes.push_back(Event::RecordLogged(fact, Ok(())));
                }
                Action::StoreManifest(manifest) => {
                    assert!(!self.unflushed, "a checkpoint before its metrics");
                    let size = manifest.world_size;
                    for file in size.ranks().flat_map(|rank| Manifest::files_of(rank, size)) {
                        let key = (manifest.name.attempt, manifest.name.step, file.clone());
                        assert!(self.stored.contains(&key), "{file} is missing");
                        assert!(manifest.parts.iter().any(|part| part.name == file));
                    }
                    let name = manifest.name;
                    assert!(self.manifests.insert(name, manifest).is_none());
                    self.writes.push_back(Event::ManifestStored(name, Ok(())));
                }
                Action::RemoveCheckpoint(name) => {
                    assert!(self.is_logged(&Fact::CheckpointRetired { name }));
                    self.removed.push(name);
                }
                Action::AppendMetrics(_, steps) => {
                    self.unflushed = true;
                    self.metrics.extend(steps.iter().map(|report| report.step));
                }
                Action::AppendEvaluations(_, evaluations) => {
                    self.unflushed = true;
                    self.evaluations.extend(evaluations);
                }
                Action::AppendSkips(_, skips) => {
                    self.unflushed = true;
                    self.skips.extend(skips);
                }
                Action::Trace(rank, traces) => {
                    self.traces
                        .extend(traces.into_iter().map(|trace| (rank, trace)));
                }
                Action::Tell(_, text) => self.told.push(text),
                Action::FlushSegments => {
                    self.unflushed = false;
                    self.writes.push_back(Event::Flushed(Ok(())));
                }
                Action::Finish(outcome) => {
                    assert!(!self.unflushed, "an end before its metrics");
                    self.outcome = Some(outcome);
                }
            }
        }
        replies
    }

    fn check_fact(&self, fact: &Fact) {
        match fact {
            Fact::WorldFormed {
                generation,
                members,
                lanes,
                ..
            } => {
                let before = self.generations().into_iter().max();
                assert!(
                    before.is_none_or(|before| before < *generation),
                    "a generation fell"
                );
                assert_eq!(lanes.ranks().len(), LANES as usize);
                let names: BTreeSet<_> = members.iter().map(|member| &member.worker).collect();
                assert_eq!(names.len(), members.len(), "a worker with two ranks");
                assert!(members.len() <= self.config.max_workers.index());
                assert!(
                    lanes
                        .ranks()
                        .iter()
                        .all(|rank| rank.index() < members.len())
                );
            }
            Fact::CheckpointCommitted { name, .. } => {
                assert!(
                    self.manifests.contains_key(name),
                    "a record before its manifest"
                );
            }
            Fact::TermOpened { .. }
            | Fact::CheckpointDamaged { .. }
            | Fact::RolledBack { .. }
            | Fact::StatesDiverged { .. }
            | Fact::CheckpointRetired { .. }
            | Fact::ShardQuarantined(_)
            | Fact::RunEnded { .. } => {}
        }
    }

    fn check_reply(&mut self, reply: &Result<Response, ServiceError>) {
        let directive = match reply {
            Ok(Response::Report(reply)) => reply.directive,
            Ok(Response::World(WorldState::Formed(world))) => {
                assert!(
                    self.generations().contains(&world.generation),
                    "an unlogged world"
                );
                let state = world.source.is_some() || world.restore.is_some();
                assert!(state || world.start == Step(0), "a start without a state");
                assert!(world.source.is_none() || world.restore.is_none());
                return self.note_directive(world.directive);
            }
            Ok(Response::Parts { committed: true }) => None,
            _ => None,
        };
        if let Some(directive) = directive {
            let before = self.highest.replace(directive.precedence());
            assert!(before <= self.highest, "an order fell back");
            self.note_directive(directive);
        }
    }

    fn note_directive(&mut self, directive: Directive) {
        let known = *self
            .directives
            .entry(directive.precedence())
            .or_insert(directive);
        assert_eq!(known, directive, "one number, two orders");
    }

    /// Whether all ranks leave after an attempt.
    pub fn is_last(&self, attempt: Nonce) -> bool {
        let ordered = |order: &Directive| order.checkpoint.map(|order| order.attempt);
        let mut orders = self.directives.values();
        orders.any(|order| order.stop && ordered(order) == Some(attempt))
    }

    pub fn note_stored(&mut self, attempt: Nonce, step: Step, parts: &[Part]) {
        self.stored
            .extend(parts.iter().map(|part| (attempt, step, part.name.clone())));
    }
}

/// A worker as its coordinator sees it.
#[derive(Debug, Clone)]
pub struct Worker {
    pub nonce: Nonce,
    pub fence: Fence,
    pub world: Option<World>,
    /// What its state is.
    pub stamp: Stamp,
    /// Whether it was told to go.
    pub draining: bool,
    /// Where it says that it is.
    pub phase: Phase,
}

impl Worker {
    pub fn new(nonce: u64) -> Self {
        let fence = Fence {
            worker: WorkerId(String::new()),
            secret: SessionSecret(0),
            term: Term(0),
            generation: Generation(0),
        };
        Self {
            nonce: Nonce(nonce),
            fence,
            world: None,
            stamp: Stamp::default(),
            draining: false,
            phase: Phase::Compute,
        }
    }

    /// A member of a generation says so; a worker that was never taken in has nothing to say.
    fn claim(&self) -> Option<Claim> {
        let claim = Claim {
            worker: self.fence.worker.clone(),
            generation: self.fence.generation,
        };
        Some(claim).filter(|claim| !claim.worker.0.is_empty())
    }

    pub fn join_request(&self, build: &str) -> Request {
        Request::Join(Join {
            nonce: self.nonce,
            build: build.to_owned(),
            device: "cpu".to_owned(),
            address: format!("10.0.0.{}:1", self.nonce),
            host: format!("host{}", self.nonce),
            pid: 100,
            claim: self.claim(),
        })
    }

    /// Joins, and asks for a world unless its generation goes on.
    pub fn join(&mut self, rig: &mut Rig) -> Result<bool, ServiceError> {
        let joined = match rig.ask(self.join_request("build"))? {
            Response::Joined(joined) => joined,
            other => panic!("{other:?}"),
        };
        let Joined {
            worker,
            secret,
            term,
            adopted,
        } = joined;
        if adopted {
            let last = rig.generations().into_iter().max();
            assert_eq!(
                last,
                Some(self.fence.generation),
                "an old generation goes on"
            );
            (self.fence.secret, self.fence.term) = (secret, term);
        } else if worker != self.fence.worker {
            self.world = None;
            self.fence = Fence {
                worker,
                secret,
                term,
                generation: Generation(0),
            };
        }
        if !adopted {
            self.get_world(rig)?;
        }
        Ok(adopted)
    }

    /// Is not known any more: it joins again, with the state that it has at this step.
    pub fn join_again(
        &mut self,
        rig: &mut Rig,
        nonce: u64,
        step: u64,
    ) -> Result<bool, ServiceError> {
        self.nonce = Nonce(nonce);
        if let Some(world) = &self.world {
            self.stamp = Stamp {
                generation: world.generation,
                step: Step(step),
            };
        }
        self.join(rig)
    }

    pub fn get_world(&mut self, rig: &mut Rig) -> Result<WorldState, ServiceError> {
        self.ask_for_world(rig, None)
    }

    /// Leaves its generation at a step, and asks for the next.
    pub fn leave_world(
        &mut self,
        rig: &mut Rig,
        step: u64,
        lost: Option<u32>,
    ) -> Result<WorldState, ServiceError> {
        if let Some(world) = self.world.take() {
            self.stamp = Stamp {
                generation: world.generation,
                step: Step(step),
            };
        }
        let lost = lost.map(|rank| GenerationFault::Lost(Rank(rank)));
        self.ask_for_world(rig, lost)
    }

    /// Leaves its generation at a step because of a fault that voids its state.
    pub fn leave_world_for(
        &mut self,
        rig: &mut Rig,
        fault: GenerationFault,
    ) -> Result<WorldState, ServiceError> {
        self.world = None;
        self.stamp = Stamp::default();
        self.say_fault(rig, fault)
    }

    /// Asks for the next generation because of a fault.
    pub fn say_fault(
        &mut self,
        rig: &mut Rig,
        fault: GenerationFault,
    ) -> Result<WorldState, ServiceError> {
        self.ask_for_world(rig, Some(fault))
    }

    fn ask_for_world(
        &mut self,
        rig: &mut Rig,
        fault: Option<GenerationFault>,
    ) -> Result<WorldState, ServiceError> {
        let ready = Ready {
            fence: self.fence.clone(),
            stamp: self.stamp,
            fault,
        };
        match rig.ask(Request::GetWorld(ready))? {
            Response::World(state) => {
                if let WorldState::Formed(world) = &state {
                    self.fence.generation = world.generation;
                    self.world = Some(world.clone());
                }
                Ok(state)
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn rank(&self) -> Option<Rank> {
        self.world
            .as_ref()
            .and_then(|world| world.rank_of(&self.fence.worker))
    }

    pub fn report_request(&self, step: u64, steps: Vec<StepReport>) -> Request {
        Request::Report(Report {
            fence: self.fence.clone(),
            phase: self.phase,
            step: Step(step),
            collective_sequence: step,
            progress: step,
            draining: self.draining,
            steps,
            evaluations: Vec::new(),
            traces: Vec::new(),
            vitals: Vitals::default(),
        })
    }

    pub fn parts_request(&self, step: u64, attempt: Nonce) -> PartsStored {
        let (rank, world) = (self.rank().unwrap(), self.world.as_ref().unwrap());
        let part = |name| Part {
            name,
            bytes: 1,
            sha256: "ab".to_owned(),
        };
        PartsStored {
            fence: self.fence.clone(),
            step: Step(step),
            attempt,
            stop: false,
            parts: Manifest::files_of(rank, world.size())
                .into_iter()
                .map(part)
                .collect(),
            cursors: vec![
                Cursor {
                    passed: step,
                    ..Cursor::default()
                };
                LANES as usize
            ],
        }
    }
}

pub fn step_report(step: u64) -> StepReport {
    StepReport {
        step: Step(step),
        metrics: StepMetrics {
            loss: 1.0,
            logit_scale: 1.0,
            lr: 1.0,
            grad_norm: 1.0,
            data_time: 0.0,
            batch_time: 1.0,
            samples_per_second: 64.0,
        },
        cursors: vec![Cursor::default(); LANES as usize],
        sample_hash: step,
        skips: Vec::new(),
    }
}
