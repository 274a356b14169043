//! A worker with the real session and a fake engine: it lives as the real one does.

use crate::net::channel;
use crate::plane::{Plane, PlaneError, WORKER_PORT};
use crate::state::{Parcel, State, mix, sample_hash};
use crate::surroundings::Surroundings;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use turmoil::net::TcpListener;
use twinspan_session::{
    Boundary, Commit, Membership, Outcome, SessionConfig, SessionError, Tally, Vote,
};
use twinspan_types::{
    CheckpointName, Directive, GenerationFault, LaneId, Manifest, Nonce, Part, Phase, Rank,
    RunConfig, Step, StepMetrics, StepReport, StreamId, Term, World,
};

/// Pause between two looks whether a wait is over.
const LOOK: Duration = Duration::from_millis(20);
/// Longest wait for a checkpoint's commit, and for a further order at the last step.
const COMMIT: Duration = Duration::from_secs(60);
/// Time that a step's numbers take at the most.
const COMPUTE_MS: u64 = 30;

/// Checkpoints on their way, and the term that ordered the last of them.
struct Uploads {
    running: Vec<JoinHandle<Result<(), SessionError>>>,
    ordered_by: Term,
}

/// Why a worker left its generation.
enum Left {
    /// Another one is to be formed.
    Generation(Option<GenerationFault>),
    /// It cannot go on.
    Failed(String),
}

impl From<SessionError> for Left {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Superseded { .. } => Self::Generation(None),
            error => Self::Failed(error.to_string()),
        }
    }
}

impl From<PlaneError> for Left {
    fn from(error: PlaneError) -> Self {
        match error {
            PlaneError::Lost(rank) => Self::Generation(Some(GenerationFault::Lost(rank))),
            PlaneError::Silence => Self::Generation(None),
        }
    }
}

/// One process of a worker, from its start to its end. It listens as long as its machine does.
pub async fn process(
    around: &Surroundings,
    host: &str,
    nonce: Nonce,
    listener: &TcpListener,
) -> Result<(), String> {
    let config = SessionConfig {
        url: "http://coordinator:7700".to_owned(),
        build: "simulated".to_owned(),
        device: "cpu".to_owned(),
        address: format!("{host}:{WORKER_PORT}"),
        host: host.to_owned(),
        nonce,
        patience: Duration::from_secs(60),
    };
    let joined = Membership::join(config, channel(&["coordinator", "rival"])).await;
    let (membership, run) = joined.map_err(|error| error.to_string())?;
    around.note(host, format!("joined as {}", membership.worker()));
    let beats = Arc::clone(&membership).heartbeat(Membership::interval(&run));
    let beats = tokio::spawn(beats);
    let worker = Worker {
        around,
        host,
        membership: Arc::clone(&membership),
        run,
    };
    let lived = worker.live(listener).await;
    let outcome = match &lived {
        Ok(()) => {
            membership.deliver().await;
            Outcome::Done
        }
        Err(reason) => Outcome::Failed {
            reason: reason.clone(),
        },
    };
    beats.abort();
    let left = membership.leave(outcome).await;
    lived.and(left.map_err(|error| error.to_string()))
}

struct Worker<'a> {
    around: &'a Surroundings,
    host: &'a str,
    membership: Arc<Membership>,
    run: RunConfig,
}

impl Worker<'_> {
    async fn live(&self, listener: &TcpListener) -> Result<(), String> {
        let mut state: Option<State> = None;
        let mut fault = None;
        loop {
            let stamp = state.as_ref().map(State::stamp).unwrap_or_default();
            self.membership.shared().set_phase(Phase::Joining);
            let world = match self.membership.next_world(stamp, fault.take()).await {
                Ok(world) => world,
                Err(SessionError::Ended { failed: false, .. }) => return Ok(()),
                Err(error) => return Err(error.to_string()),
            };
            match self.generation(listener, &world, &mut state).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Left::Generation(why)) => {
                    self.note(format!("leaves generation {}: {why:?}", world.generation));
                    fault = why;
                }
                Err(Left::Failed(reason)) => return Err(reason),
            }
        }
    }

    fn note(&self, text: String) {
        self.around.note(self.host, text);
    }

    /// Waits, and ends the wait when the generation is over.
    async fn unless_over<T>(&self, wait: impl Future<Output = T>) -> Result<T, Left> {
        let over = async {
            loop {
                sleep(LOOK).await;
                if let Err(error) = self.membership.check() {
                    return Left::from(error);
                }
            }
        };
        tokio::select! {
            biased;
            done = wait => Ok(done),
            left = over => Err(left),
        }
    }

    async fn all_gather(&self, plane: &mut Plane, own: Vec<u8>) -> Result<Vec<Vec<u8>>, Left> {
        self.membership.shared().set_phase(Phase::Collective);
        Ok(self.unless_over(plane.all_gather(own)).await??)
    }

    /// Takes part in a generation; whether the run is over for this worker.
    async fn generation(
        &self,
        listener: &TcpListener,
        world: &World,
        state: &mut Option<State>,
    ) -> Result<bool, Left> {
        let rank = world.rank_of(&self.membership.worker());
        let Some(rank) = rank else {
            return Err(Left::Generation(None));
        };
        self.membership.shared().set_phase(Phase::Healing);
        let connecting = Plane::connect(listener, world, rank);
        let mut plane = self.unless_over(connecting).await??;
        let mut healed = self.heal(&mut plane, world, rank, state.take()).await;
        let healed = match &mut healed {
            Ok(healed) => state.insert(healed.clone()),
            Err((kept, _)) => {
                *state = kept.take();
                let Err((_, left)) = healed else {
                    return Err(Left::Generation(None));
                };
                return Err(left);
            }
        };
        healed.generation = world.generation;
        self.note(format!(
            "rank {rank} of {} in generation {} at step {}",
            world.size(),
            world.generation,
            healed.step
        ));
        self.train(&mut plane, world, rank, healed).await
    }

    /// The state that all ranks start from; what this rank had comes back if healing fails.
    async fn heal(
        &self,
        plane: &mut Plane,
        world: &World,
        rank: Rank,
        mut own: Option<State>,
    ) -> Result<State, (Option<State>, Left)> {
        if world.source.is_none() {
            let restored = match &world.restore {
                Some(directory) => self.around.restore(directory).await,
                None => Ok(State::initial(self.run.data.lanes)),
            };
            match restored {
                Ok(state) => own = Some(state),
                Err(what) => {
                    let fault = GenerationFault::DamagedCheckpoint { what };
                    return Err((own, Left::Generation(Some(fault))));
                }
            }
            self.membership.shared().outbox().clear();
        }
        let source = world.source.unwrap_or_default();
        let parcel = own.as_ref().filter(|_| rank == source).map(|state| {
            let reports = self.membership.shared().outbox().iter().cloned().collect();
            let state = state.clone();
            Parcel { state, reports }
        });
        let bytes = parcel.map(|parcel| serde_json::to_vec(&parcel).unwrap_or_default());
        let gathered = match self.all_gather(plane, bytes.unwrap_or_default()).await {
            Ok(gathered) => gathered,
            Err(left) => return Err((own, left)),
        };
        let parcel = gathered.get(source.index());
        let parcel = parcel.and_then(|bytes| serde_json::from_slice::<Parcel>(bytes).ok());
        let Some(Parcel { state, reports }) = parcel else {
            return Err((own, Left::Failed("the source has sent no state".to_owned())));
        };
        if state.step != world.start {
            let what = format!("the source is at step {}, not {}", state.step, world.start);
            return Err((own, Left::Failed(what)));
        }
        if own.as_ref() != Some(&state) {
            *self.membership.shared().outbox() = reports.into();
        }
        Ok(state)
    }

    async fn train(
        &self,
        plane: &mut Plane,
        world: &World,
        rank: Rank,
        state: &mut State,
    ) -> Result<bool, Left> {
        let mut boundary = Boundary::new(&self.run);
        let mut directive = world.directive;
        let mut uploads = Uploads {
            running: Vec::new(),
            ordered_by: world.term,
        };
        let shared = self.membership.shared();
        loop {
            let last = state.step >= self.run.train.steps;
            if last {
                let newer = self.membership.wait_for_directive(directive, COMMIT);
                if let Some(due) = boundary.due(directive, state.step)
                    && let Some(left) = self
                        .carry_out(world, rank, state, due, &mut uploads)
                        .await?
                {
                    return Ok(left);
                }
                directive = newer.await?;
                continue;
            }
            self.lease(state.step.next()).await?;
            shared.set_phase(Phase::Compute);
            let pace = mix(self.around.seed ^ state.step.0 << 8 ^ u64::from(rank.0)) % COMPUTE_MS;
            sleep(Duration::from_millis(1 + pace)).await;
            directive = shared.directive().unwrap_or(directive);
            let votes = self
                .all_gather(plane, vote(world, rank, state, directive).encode())
                .await?;
            let votes = votes.iter().map(|bytes| Vote::decode(bytes));
            let votes: Result<Vec<Vote>, _> = votes.collect();
            let tally = votes.and_then(|votes| Tally::count(&votes, self.run.streams()));
            let tally = tally.map_err(|error| Left::Failed(error.to_string()))?;
            if !tally.diverged.is_empty() {
                return Err(Left::Failed(format!("states differ: {:?}", tally.diverged)));
            }
            state.value = state.updated(tally.sample_hash);
            state.cursors = tally.cursors;
            state.step = state.step.next();
            shared.commit(report(state, tally.sample_hash));
            directive = tally.directive;
            if let Some(due) = boundary.due(tally.directive, state.step)
                && let Some(left) = self
                    .carry_out(world, rank, state, due, &mut uploads)
                    .await?
            {
                return Ok(left);
            }
        }
    }

    /// Waits for the right to read the lanes for a step.
    async fn lease(&self, step: Step) -> Result<(), Left> {
        self.membership.shared().set_phase(Phase::DataWait);
        let mut lease = self.membership.shared().lease();
        let leased = self
            .unless_over(lease.wait_for(|through| *through >= step))
            .await?;
        leased
            .map(drop)
            .map_err(|_| Left::Failed("the session has ended".to_owned()))
    }

    /// Carries an order out; whether the run, or else the generation, is left.
    async fn carry_out(
        &self,
        world: &World,
        rank: Rank,
        state: &State,
        due: Directive,
        uploads: &mut Uploads,
    ) -> Result<Option<bool>, Left> {
        self.membership.shared().set_phase(Phase::Checkpoint);
        if let Some(order) = due.checkpoint {
            if !due.follows_commit(uploads.ordered_by) {
                self.finish(uploads).await?;
            }
            uploads.ordered_by = due.term;
            let commit = Commit {
                generation: world.generation,
                name: CheckpointName {
                    step: state.step,
                    attempt: order.attempt,
                },
                stop: due.stop,
                cursors: state.cursors.clone(),
            };
            let files = Manifest::files_of(rank, world.size());
            let stored = store(
                self.around.clone(),
                self.membership.clone(),
                commit,
                files,
                state,
            );
            uploads.running.push(tokio::spawn(stored));
        }
        if due.stop || due.reform {
            self.finish(uploads).await?;
            return Ok(Some(due.stop));
        }
        Ok(None)
    }

    async fn finish(&self, uploads: &mut Uploads) -> Result<(), Left> {
        for upload in uploads.running.drain(..) {
            match upload.await {
                Ok(stored) => stored?,
                Err(error) => return Err(Left::Failed(error.to_string())),
            }
        }
        Ok(())
    }
}

/// Stores a rank's parts one after the other, and has them committed.
fn store(
    around: Surroundings,
    membership: Arc<Membership>,
    commit: Commit,
    files: Vec<String>,
    state: &State,
) -> impl Future<Output = Result<(), SessionError>> + Send + 'static {
    let bytes = serde_json::to_vec(state).unwrap_or_default();
    async move {
        let mut parts = Vec::new();
        for name in files {
            around.store_part(commit.name, &name, &bytes).await;
            parts.push(Part {
                name,
                bytes: bytes.len() as u64,
                sha256: String::new(),
            });
        }
        membership.commit_checkpoint(&commit, &parts, COMMIT).await
    }
}

/// What a rank says at the end of a step, having read its lanes.
fn vote(world: &World, rank: Rank, state: &State, directive: Directive) -> Vote {
    let lanes: Vec<LaneId> = world.lanes.lanes_of(rank).collect();
    let read = |lane: &LaneId| {
        let mut end = state.cursors[lane.index()];
        let hash = sample_hash(*lane, end.passed);
        end.passed += 1;
        (StreamId(lane.0), end, hash)
    };
    let read: Vec<_> = lanes.iter().map(read).collect();
    Vote {
        finite: true,
        directive,
        ends: read
            .iter()
            .map(|(stream, end, _)| (*stream, *end))
            .collect(),
        sample_hash: read
            .iter()
            .fold(0, |sum, (_, _, hash)| sum.wrapping_add(*hash)),
        skips: Vec::new(),
        state_hash: Some(state.value),
        evaluation: Vec::new(),
        slow: false,
    }
}

fn report(state: &State, sample_hash: u64) -> StepReport {
    StepReport {
        step: state.step,
        metrics: StepMetrics {
            loss: 1.0,
            logit_scale: 1.0,
            lr: 1.0,
            grad_norm: 1.0,
            data_time: 0.0,
            batch_time: 0.02,
            samples_per_second: 1.0,
        },
        cursors: state.cursors.clone(),
        sample_hash,
        skips: Vec::new(),
    }
}
