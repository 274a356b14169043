//! One worker's membership in a run, for callers that wait asynchronously: what [`crate::Session`]
//! does for a thread.

use crate::SessionError;
use crate::calls::call;
use crate::reporter;
use crate::shared::{Ended, Shared};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;
use tonic::{Response, Status};
use twinspan_proto::poll::world_pause;
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_proto::v1::get_world_response::State;
use twinspan_types::{
    CheckpointName, Cursor, Directive, Generation, GenerationFault, Nonce, Part, Quarantine, Rank,
    RunConfig, Stamp, Step, WorkerId, World,
};

pub(crate) type Client = CoordinatorClient<Channel>;

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
    /// It was told to go: the others have what it could still tell.
    Drained,
    /// It cannot go on.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A checkpoint that a rank has a part in.
#[derive(Debug, Clone)]
pub struct Commit {
    /// The generation that writes it.
    pub generation: Generation,
    /// Its step and attempt.
    pub name: CheckpointName,
    /// Whether all ranks leave the run after it.
    pub stop: bool,
    /// Every stream's position at the step, by stream.
    pub cursors: Vec<Cursor>,
}

/// What the coordinator knows this worker by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    worker: String,
    session_secret: u64,
    term: u64,
}

/// One worker's membership in a run.
pub struct Membership {
    config: SessionConfig,
    channel: Channel,
    pid: u32,
    pub(crate) shared: Shared,
    identity: Mutex<Identity>,
    /// How often it has joined; held while it joins again.
    joins: AsyncMutex<u64>,
}

impl Membership {
    /// Joins a run over a channel to its coordinator, and gives the run's configuration.
    ///
    /// # Errors
    /// The coordinator cannot be reached in time, or refuses.
    pub async fn join(
        config: SessionConfig,
        channel: Channel,
    ) -> Result<(Arc<Self>, RunConfig), SessionError> {
        let membership = Self {
            config,
            channel,
            pid: std::process::id(),
            shared: Shared::default(),
            identity: Mutex::new(Identity {
                worker: String::new(),
                session_secret: 0,
                term: 0,
            }),
            joins: AsyncMutex::new(0),
        };
        let response = membership.ask_to_join(0, None).await?;
        let run = serde_json::from_str(&response.config)
            .map_err(|error| SessionError::UnreadableConfig(error.to_string()))?;
        Ok((Arc::new(membership), run))
    }

    async fn ask_to_join(
        &self,
        joins: u64,
        claim: Option<v1::Claim>,
    ) -> Result<v1::JoinResponse, SessionError> {
        let SessionConfig {
            url,
            build,
            address,
            host,
            nonce,
            patience,
        } = &self.config;
        let request = v1::JoinRequest {
            // Another one each time: the first of a process is random.
            nonce: nonce.0.wrapping_add(joins),
            build: build.clone(),
            address: address.clone(),
            host: host.clone(),
            pid: self.pid,
            claim,
        };
        let response = call(url, "Join", *patience, || {
            let (mut client, request) = (self.client(), request.clone());
            async move { client.join(request).await }
        });
        let response = response.await?;
        *self.lock() = Identity {
            worker: response.worker.clone(),
            session_secret: response.session_secret,
            term: response.term,
        };
        Ok(response)
    }

    /// Joins again after a refusal of what the coordinator knew this worker by: it has given the
    /// worker up, or another coordinator has taken its place. Where the generation goes on under
    /// that one, nothing else changes.
    ///
    /// # Errors
    /// As [`Membership::join`].
    pub(crate) async fn join_again(&self, refused: &Identity) -> Result<(), SessionError> {
        let mut joins = self.joins.lock().await;
        if *self.lock() != *refused {
            // Another task was faster.
            return Ok(());
        }
        if self.shared.is_draining() {
            // It goes: there is nothing to join again for.
            self.shared.leave_generation();
            return Err(SessionError::Ended {
                failed: false,
                reason: "this worker was told to go".to_owned(),
            });
        }
        *joins += 1;
        let generation = self.shared.generation();
        let claim = v1::Claim {
            worker: refused.worker.clone(),
            generation,
        };
        let response = self.ask_to_join(*joins, Some(claim)).await?;
        self.shared.set_received(Step(0));
        if response.adopted {
            tracing::info!(
                "another coordinator (term {}) has taken the run over; generation {generation} goes \
                 on",
                response.term
            );
        } else {
            tracing::info!(
                "joining again, as worker {}: the coordinator does not know {} any more",
                response.worker,
                refused.worker
            );
            self.shared.leave_generation();
        }
        Ok(())
    }

    /// Heartbeats until the run ends or the coordinator is out of reach for too long.
    pub async fn heartbeat(self: Arc<Self>, interval: Duration) {
        reporter::run(&self, interval).await;
    }

    /// How often to say that this worker lives, so that a few lost words do not matter.
    #[must_use]
    pub fn interval(run: &RunConfig) -> Duration {
        (run.cluster.heartbeat_timeout / 10)
            .clamp(Duration::from_millis(50), Duration::from_millis(500))
    }

    /// What callers and the heartbeat share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Identity> {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.lock().clone()
    }

    pub(crate) fn patience(&self) -> Duration {
        self.config.patience
    }

    /// The name given to this worker.
    #[must_use]
    pub fn worker(&self) -> WorkerId {
        WorkerId(self.lock().worker.clone())
    }

    /// Waits for a generation after the present one that has this worker as a member, and holds a
    /// first lease. `stamp` is what the worker's state is, `fault` why the present one could not go
    /// on.
    ///
    /// # Errors
    /// The run ended, the worker is not wanted any more, or the coordinator is out of reach.
    pub async fn next_world(
        &self,
        stamp: Stamp,
        fault: Option<GenerationFault>,
    ) -> Result<World, SessionError> {
        loop {
            let response = self.ask("GetWorld", |mut client, fence| {
                let fault = fault.clone();
                async move {
                    let request = v1::GetWorldRequest {
                        fence: Some(fence),
                        stamp: Some(stamp.into()),
                        fault: fault.map(Into::into),
                    };
                    client.get_world(request).await
                }
            });
            let mut wanted = 0;
            match response.await.map(|response| response.state) {
                Ok(Some(State::World(wire))) => {
                    let world = World::try_from(wire)?;
                    let delivers = world.rank_of(&self.worker()) == Some(Rank(0));
                    self.shared.enter(&world, delivers);
                    match self.first_lease(&world).await {
                        // It is over already.
                        Err(SessionError::Superseded { .. }) => {}
                        leased => return leased.map(|()| world),
                    }
                }
                Ok(Some(State::Ended(v1::Ended { failed, reason }))) => {
                    return Err(SessionError::Ended { failed, reason });
                }
                Ok(Some(State::Pending(pending))) => wanted = pending.wanted,
                Ok(None) | Err(SessionError::Superseded { .. }) => {}
                Err(error) => return Err(error),
            }
            sleep(world_pause(wanted, self.config.nonce.0)).await;
        }
    }

    async fn first_lease(&self, world: &World) -> Result<(), SessionError> {
        let step = world.start;
        let response = self.ask("ExtendLease", |mut client, fence| async move {
            let request = v1::ExtendLeaseRequest {
                fence: Some(fence),
                step: step.0,
            };
            client.extend_lease(request).await
        });
        let through = Step(response.await?.through_step);
        self.shared.extend_lease(step, through);
        Ok(())
    }

    /// That a generation is the present one, and not over.
    pub(crate) fn check_generation(&self, generation: Generation) -> Result<(), SessionError> {
        match self.shared.generation() == generation.0 {
            true => self.check(),
            false => Err(SessionError::Superseded {
                call: "ReportParts",
                reason: format!("generation {generation} is over"),
            }),
        }
    }

    /// That a wait goes on: neither the run nor the present generation is over.
    ///
    /// # Errors
    /// Which of them is.
    pub fn check(&self) -> Result<(), SessionError> {
        if let Some(Ended { failed, reason }) = self.shared.ended() {
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

    /// Waits for a directive that takes precedence over `than`.
    ///
    /// # Errors
    /// None came in time, or the run ended.
    pub async fn wait_for_directive(
        &self,
        than: Directive,
        timeout: Duration,
    ) -> Result<Directive, SessionError> {
        let start = Instant::now();
        while start.elapsed() < timeout {
            self.check()?;
            match self.shared.directive() {
                Some(newer) if newer.precedence() > than.precedence() => return Ok(newer),
                _ => self.shared.wake.notify_one(),
            }
            sleep(COMMIT_POLL).await;
        }
        Err(self.unreachable("Report", timeout, "no further directive".to_owned()))
    }

    /// Reports this rank's stored parts of a checkpoint until the coordinator has committed it.
    ///
    /// # Errors
    /// The other ranks' parts did not come within `timeout`, the run ended, or the coordinator is
    /// out of reach.
    pub async fn commit_checkpoint(
        &self,
        commit: &Commit,
        parts: &[Part],
        timeout: Duration,
    ) -> Result<(), SessionError> {
        let Commit {
            generation,
            name,
            stop,
            cursors,
        } = commit;
        let start = Instant::now();
        loop {
            let response = self.ask("ReportParts", |mut client, fence| {
                let request = v1::ReportPartsRequest {
                    // Another generation's parts are not these.
                    fence: Some(v1::Fence {
                        generation: generation.0,
                        ..fence
                    }),
                    step: name.step.0,
                    attempt: name.attempt.0,
                    stop: *stop,
                    parts: parts.iter().cloned().map(Into::into).collect(),
                    cursors: cursors.iter().copied().map(Into::into).collect(),
                };
                async move { client.report_parts(request).await }
            });
            if response.await?.committed {
                return Ok(());
            }
            self.check_generation(*generation)?;
            if start.elapsed() > timeout {
                let last = format!("checkpoint {name} was not committed");
                return Err(self.unreachable("ReportParts", timeout, last));
            }
            sleep(COMMIT_POLL).await;
        }
    }

    /// Asks that a shard be passed over until that is in the log.
    ///
    /// # Errors
    /// It was not logged within `timeout`, the run ended, or the coordinator is out of reach.
    pub async fn quarantine(
        &self,
        shard: &Quarantine,
        timeout: Duration,
    ) -> Result<(), SessionError> {
        let start = Instant::now();
        loop {
            let response = self.ask("Quarantine", |mut client, fence| {
                let request = v1::QuarantineRequest {
                    fence: Some(fence),
                    quarantine: Some(shard.clone().into()),
                };
                async move { client.quarantine(request).await }
            });
            if response.await?.recorded {
                return Ok(());
            }
            self.check()?;
            if start.elapsed() > timeout {
                let last = format!("the quarantine of {} was not logged", shard.url);
                return Err(self.unreachable("Quarantine", timeout, last));
            }
            sleep(COMMIT_POLL).await;
        }
    }

    /// Waits until what is still to be reported was taken, as long as that makes sense.
    pub async fn deliver(&self) {
        let start = Instant::now();
        while start.elapsed() < self.config.patience
            && self.shared.delivers()
            && !self.shared.outbox().is_empty()
            && self.check().is_ok()
        {
            self.shared.wake.notify_one();
            sleep(COMMIT_POLL).await;
        }
    }

    /// Leaves the run. The heartbeat must have ended.
    ///
    /// # Errors
    /// The coordinator is out of reach or refuses.
    pub async fn leave(&self, outcome: Outcome) -> Result<(), SessionError> {
        let outcome = match outcome {
            Outcome::Done | Outcome::Drained => v1::leave_request::Outcome::Done(v1::Done {}),
            Outcome::Failed { reason } => v1::leave_request::Outcome::Failed(v1::Failed { reason }),
        };
        let identity = self.identity();
        let leave = |mut client: Client, fence| {
            let request = v1::LeaveRequest {
                fence: Some(fence),
                outcome: Some(outcome.clone()),
            };
            async move { client.leave(request).await }
        };
        self.try_as(&identity, "Leave", &leave).await.map(drop)
    }

    fn unreachable(&self, call: &'static str, waited: Duration, last: String) -> SessionError {
        SessionError::Unreachable {
            url: self.config.url.clone(),
            call,
            waited,
            last,
        }
    }

    /// A request that is made again when the coordinator did not know this worker, and the
    /// generation goes on all the same.
    async fn ask<T, F>(
        &self,
        name: &'static str,
        request: impl Fn(Client, v1::Fence) -> F,
    ) -> Result<T, SessionError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        loop {
            let (identity, generation) = (self.identity(), self.shared.generation());
            match self.try_as(&identity, name, &request).await {
                Err(SessionError::Evicted { call, reason }) => {
                    self.join_again(&identity).await?;
                    if self.shared.generation() != generation {
                        return Err(SessionError::Superseded { call, reason });
                    }
                }
                answered => return answered,
            }
        }
    }

    async fn try_as<T, F>(
        &self,
        identity: &Identity,
        name: &'static str,
        request: &impl Fn(Client, v1::Fence) -> F,
    ) -> Result<T, SessionError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        call(&self.config.url, name, self.config.patience, || {
            request(self.client(), self.fence(identity))
        })
        .await
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.channel.clone())
    }

    pub(crate) fn fence(&self, identity: &Identity) -> v1::Fence {
        v1::Fence {
            worker: identity.worker.clone(),
            session_secret: identity.session_secret,
            term: identity.term,
            generation: self.shared.generation(),
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
        call(&self.config.url, name, Duration::ZERO, once).await
    }
}
