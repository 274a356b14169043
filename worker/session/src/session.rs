//! The session's handle: what the training thread calls.

use crate::SessionError;
use crate::calls::call;
use crate::reporter;
use crate::shared::{Ended, Shared};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_types::{
    CheckpointName, Cursor, Directive, Nonce, Part, Phase, Quarantine, Rank, RunConfig, Stamp,
    Step, StepReport, WorkerId, World,
};

pub(crate) type Client = CoordinatorClient<Channel>;

/// Pause between two looks whether a world was formed.
const WORLD_POLL: Duration = Duration::from_millis(50);
/// Pause between two looks whether a checkpoint was committed.
const COMMIT_POLL: Duration = Duration::from_millis(50);

/// How to reach the coordinator, and who asks.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// `http://host:port` of the coordinator.
    pub url: String,
    /// What this binary is; all ranks must be the same.
    pub build: String,
    /// `host:port` of this worker's data plane.
    pub address: String,
    /// This machine's name.
    pub host: String,
    /// Tells a repeated join from another worker's.
    pub nonce: Nonce,
    /// Longest wait for an answer.
    pub patience: Duration,
}

/// How a worker leaves.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The run is done or was stopped in order.
    Done,
    /// It cannot go on.
    Failed {
        /// Why.
        reason: String,
        /// The rank that it holds responsible.
        blamed: Option<Rank>,
    },
}

/// One worker's membership in a run. Calls block the calling thread; the heartbeat has a thread of
/// its own, which no computation can hold up.
pub struct Session {
    runtime: Runtime,
    join: v1::JoinRequest,
    link: Link,
    shared: Arc<Shared>,
    interval: Duration,
    patience: Duration,
    reporter: Option<JoinHandle<()>>,
}

impl Session {
    /// Joins a run, and gives its configuration.
    ///
    /// # Errors
    /// The coordinator cannot be reached in time, or refuses.
    pub fn join(config: &SessionConfig) -> Result<(Self, RunConfig), SessionError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("session")
            .enable_all()
            .build()
            .map_err(SessionError::Runtime)?;
        let bad_url = || SessionError::BadUrl {
            url: config.url.clone(),
        };
        let endpoint = Endpoint::from_shared(config.url.clone()).map_err(|_| bad_url())?;
        if endpoint.uri().scheme().is_none() {
            return Err(bad_url());
        }
        let channel = {
            let _entered = runtime.enter();
            endpoint
                .connect_timeout(Duration::from_secs(5))
                .connect_lazy()
        };
        let join = v1::JoinRequest {
            nonce: config.nonce.0,
            build: config.build.clone(),
            address: config.address.clone(),
            host: config.host.clone(),
            pid: std::process::id(),
            stamp: None,
        };
        let link = Link {
            url: config.url.clone(),
            channel,
            worker: String::new(),
            session_secret: 0,
            term: 0,
        };
        let (link, run) = runtime.block_on(link.join(&join, config.patience))?;
        let interval = (run.cluster.heartbeat_timeout / 10)
            .clamp(Duration::from_millis(50), Duration::from_millis(500));
        let mut session = Self {
            runtime,
            join,
            link,
            shared: Arc::default(),
            interval,
            patience: config.patience,
            reporter: None,
        };
        session.report();
        Ok((session, run))
    }

    /// Joins again with what its state is, as another worker, after the coordinator has given this one up, or another
    /// coordinator has taken its place.
    ///
    /// # Errors
    /// As [`Session::join`].
    pub fn rejoin(&mut self, nonce: Nonce, stamp: Stamp) -> Result<(), SessionError> {
        self.join.nonce = nonce.0;
        self.join.stamp = Some(stamp.into());
        let joining = self.link.clone().join(&self.join, self.patience);
        let (link, _) = self.runtime.block_on(joining)?;
        self.link = link;
        self.shared.restart();
        self.report();
        Ok(())
    }

    /// Starts the heartbeat of the present membership.
    fn report(&mut self) {
        let (link, shared) = (self.link.clone(), Arc::clone(&self.shared));
        let beats = reporter::run(link, shared, self.interval, self.patience);
        if let Some(before) = self.reporter.replace(self.runtime.spawn(beats)) {
            before.abort();
        }
    }

    /// The name given to this worker.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.link.worker.clone())
    }

    /// Waits for a generation after the present one that has this worker as a member, and holds a
    /// first lease. `stamp` is what the worker's state is, `lost` the rank of the present one
    /// without which it could not go on.
    ///
    /// # Errors
    /// The run ended, the worker was given up, or the coordinator is out of reach.
    pub fn next_world(&self, stamp: Stamp, lost: Option<Rank>) -> Result<World, SessionError> {
        loop {
            let response = self.ask("GetWorld", |mut client, fence| async move {
                let request = v1::GetWorldRequest {
                    fence: Some(fence),
                    stamp: Some(stamp.into()),
                    lost_rank: lost.map(|rank| rank.0),
                };
                client.get_world(request).await
            })?;
            match response.state {
                Some(v1::get_world_response::State::World(wire)) => {
                    let world = World::try_from(wire)?;
                    self.shared.set_generation(world.generation.0);
                    self.shared.set_step(world.start);
                    self.shared.note_directive(world.directive);
                    let delivers = world.rank_of(&self.worker()) == Some(Rank(0));
                    self.shared.set_delivers(delivers);
                    self.shared.restart_lease();
                    let (mut client, start) = (self.link.client(), world.start);
                    let leased = self.runtime.block_on(reporter::extend_lease(
                        &mut client,
                        &self.link,
                        &self.shared,
                        start,
                    ));
                    match leased {
                        // It is over already.
                        Err(SessionError::Superseded { .. }) => continue,
                        leased => leased?,
                    }
                    return Ok(world);
                }
                Some(v1::get_world_response::State::Ended(v1::Ended { failed, reason })) => {
                    return Err(SessionError::Ended { failed, reason });
                }
                _ => std::thread::sleep(WORLD_POLL),
            }
        }
    }

    /// Steps that the coordinator has not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> Vec<StepReport> {
        self.shared.outbox().iter().cloned().collect()
    }

    /// Puts a healed state's unacknowledged steps in the place of this worker's.
    pub fn adopt(&self, steps: Vec<StepReport>) {
        *self.shared.outbox() = steps.into();
    }

    /// Says where in a step the rank is; the next heartbeat carries it.
    pub fn set_phase(&self, phase: Phase) {
        self.shared.set_phase(phase);
    }

    /// Lets heartbeats carry the number of the collective that the rank is in.
    pub fn watch_collective(&self, sequence: impl Fn() -> u64 + Send + 'static) {
        self.shared.set_collective(Box::new(sequence));
    }

    /// Runs `action`, with the reason, as soon as the coordinator says that the generation or the
    /// run is over.
    pub fn on_abort(&self, action: impl Fn(&str) + Send + 'static) {
        self.shared.set_on_abort(Box::new(action));
    }

    /// Notes a committed step, which rank 0's next heartbeats deliver. The others keep it until it
    /// is acknowledged, for the case that rank 0 is lost.
    pub fn commit(&self, report: StepReport) {
        let step = report.step;
        self.shared.outbox().push_back(report);
        self.shared.set_step(step);
        self.shared.set_phase(Phase::DataWait);
    }

    /// The highest directive that the coordinator has given.
    #[must_use]
    pub fn directive(&self) -> Option<Directive> {
        self.shared.directive()
    }

    /// Set once the coordinator has said that the run is over.
    #[must_use]
    pub fn ended(&self) -> Option<Ended> {
        self.shared.ended()
    }

    /// That a wait goes on: neither the run nor the present generation is over.
    ///
    /// # Errors
    /// Which of them is.
    pub fn check(&self) -> Result<(), SessionError> {
        if let Some(Ended { failed, reason }) = self.ended() {
            return Err(SessionError::Ended { failed, reason });
        }
        match self.shared.is_superseded() {
            true => Err(SessionError::Superseded {
                call: "Report",
                reason: "another generation is being formed".to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// The highest step that this rank may read its lanes for.
    #[must_use]
    pub fn lease(&self) -> watch::Receiver<Step> {
        self.shared.lease.subscribe()
    }

    /// Waits for a directive that takes precedence over `than`.
    ///
    /// # Errors
    /// None came in time, or the run ended.
    pub fn wait_for_directive(
        &self,
        than: Directive,
        timeout: Duration,
    ) -> Result<Directive, SessionError> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            self.check()?;
            match self.directive() {
                Some(newer) if newer.precedence() > than.precedence() => return Ok(newer),
                _ => self.shared.wake.notify_one(),
            }
            std::thread::sleep(COMMIT_POLL);
        }
        Err(SessionError::Unreachable {
            url: self.link.url.clone(),
            call: "Report",
            waited: timeout,
            last: "no further directive".to_owned(),
        })
    }

    /// Reports this rank's stored parts of a checkpoint until the coordinator has committed it.
    ///
    /// # Errors
    /// The other ranks' parts did not come within `timeout`, the run ended, or the coordinator is
    /// out of reach.
    pub fn commit_checkpoint(
        &self,
        name: CheckpointName,
        parts: &[Part],
        cursors: &[Cursor],
        timeout: Duration,
    ) -> Result<(), SessionError> {
        let start = Instant::now();
        loop {
            let (parts, cursors) = (parts.to_vec(), cursors.to_vec());
            let response = self.ask("ReportParts", move |mut client, fence| {
                let request = v1::ReportPartsRequest {
                    fence: Some(fence),
                    step: name.step.0,
                    attempt: name.attempt.0,
                    parts: parts.iter().cloned().map(Into::into).collect(),
                    cursors: cursors.iter().copied().map(Into::into).collect(),
                };
                async move { client.report_parts(request).await }
            })?;
            if response.committed {
                return Ok(());
            }
            self.check()?;
            if start.elapsed() > timeout {
                return Err(SessionError::Unreachable {
                    url: self.link.url.clone(),
                    call: "ReportParts",
                    waited: timeout,
                    last: format!("checkpoint {name} was not committed"),
                });
            }
            std::thread::sleep(COMMIT_POLL);
        }
    }

    /// Asks that a shard be passed over until that is in the log.
    ///
    /// # Errors
    /// It was not logged within `timeout`, the run ended, or the coordinator is out of reach.
    pub fn quarantine(&self, shard: &Quarantine, timeout: Duration) -> Result<(), SessionError> {
        let start = Instant::now();
        loop {
            let asked = shard.clone();
            let response = self.ask("Quarantine", move |mut client, fence| {
                let request = v1::QuarantineRequest {
                    fence: Some(fence),
                    quarantine: Some(asked.clone().into()),
                };
                async move { client.quarantine(request).await }
            })?;
            if response.recorded {
                return Ok(());
            }
            self.check()?;
            if start.elapsed() > timeout {
                return Err(SessionError::Unreachable {
                    url: self.link.url.clone(),
                    call: "Quarantine",
                    waited: timeout,
                    last: format!("the quarantine of {} was not logged", shard.url),
                });
            }
            std::thread::sleep(COMMIT_POLL);
        }
    }

    /// Delivers what is still to be reported, then leaves the run.
    ///
    /// # Errors
    /// The coordinator is out of reach or refuses.
    pub fn leave(mut self, outcome: Outcome) -> Result<(), SessionError> {
        self.shared.set_phase(Phase::Leaving);
        let start = Instant::now();
        while matches!(outcome, Outcome::Done) && start.elapsed() < self.patience {
            let outbox = self.shared.outbox();
            if outbox.is_empty() || !self.shared.delivers() || self.ended().is_some() {
                break;
            }
            drop(outbox);
            self.shared.wake.notify_one();
            std::thread::sleep(COMMIT_POLL);
        }
        if let Some(reporter) = self.reporter.take() {
            reporter.abort();
        }
        let outcome = match outcome {
            Outcome::Done => v1::leave_request::Outcome::Done(v1::Done {}),
            Outcome::Failed { reason, blamed } => v1::leave_request::Outcome::Failed(v1::Failed {
                reason,
                blamed_rank: blamed.map(|rank| rank.0),
            }),
        };
        self.ask("Leave", move |mut client, fence| {
            let request = v1::LeaveRequest {
                fence: Some(fence),
                outcome: Some(outcome.clone()),
            };
            async move { client.leave(request).await }
        })?;
        Ok(())
    }

    fn ask<T, F>(
        &self,
        name: &'static str,
        request: impl Fn(Client, v1::Fence) -> F,
    ) -> Result<T, SessionError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.runtime
            .block_on(call(&self.link.url, name, self.patience, || {
                request(self.link.client(), self.link.fence(&self.shared))
            }))
    }
}

/// The connection and what every message must carry.
#[derive(Clone)]
pub(crate) struct Link {
    url: String,
    channel: Channel,
    worker: String,
    session_secret: u64,
    term: u64,
}

impl Link {
    /// Joins as a new worker.
    async fn join(
        self,
        request: &v1::JoinRequest,
        patience: Duration,
    ) -> Result<(Self, RunConfig), SessionError> {
        let response = call(&self.url, "Join", patience, || {
            let (mut client, request) = (self.client(), request.clone());
            async move { client.join(request).await }
        });
        let response = response.await?;
        let run: RunConfig = serde_json::from_str(&response.config)
            .map_err(|error| SessionError::UnreadableConfig(error.to_string()))?;
        let link = Self {
            worker: response.worker,
            session_secret: response.session_secret,
            term: response.term,
            ..self
        };
        Ok((link, run))
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }

    pub(crate) fn fence(&self, shared: &Shared) -> v1::Fence {
        v1::Fence {
            worker: self.worker.clone(),
            session_secret: self.session_secret,
            term: self.term,
            generation: shared.generation(),
        }
    }

    /// One attempt of a call whose repetition is up to the caller.
    pub(crate) async fn once<T>(
        &self,
        name: &'static str,
        attempt: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, SessionError> {
        let mut attempt = Some(attempt);
        let once = || {
            let attempt = attempt.take();
            async move {
                match attempt {
                    Some(attempt) => attempt.await,
                    None => Err(Status::unavailable("tried once")),
                }
            }
        };
        call(&self.url, name, Duration::ZERO, once).await
    }
}
