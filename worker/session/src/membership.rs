//! One worker's membership in a run, for callers that wait asynchronously: what [`crate::Session`]
//! does for a thread.

use crate::SessionError;
use crate::calls::call;
use crate::connect::parse;
use crate::reporter;
use crate::shared::{Ended, Shared};
use crate::trace::{Client, client};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tonic::transport::Channel;
use tonic::{Response, Status};
use twinspan_proto::v1;
use twinspan_types::{Generation, Nonce, RunConfig, Step, WorkerId};

/// Longest attempt to say that this worker goes, when it was told to: others will notice.
const FAREWELL: Duration = Duration::from_secs(3);

/// How to reach the coordinator, and who asks.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// `http://host:port` of the coordinator.
    pub url: String,
    /// What this binary is and computes on; all ranks must be the same.
    pub build: String,
    /// What it computes on, in words.
    pub device: String,
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

/// What the coordinator knows this worker by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    worker: String,
    session_secret: u64,
    term: u64,
}

/// One worker's membership in a run.
pub struct Membership {
    pub(crate) config: SessionConfig,
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
        let run = parse(&response.config)?;
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
            device,
            address,
            host,
            nonce,
            patience,
        } = &self.config;
        let request = v1::JoinRequest {
            // Another one each time: the first of a process is random.
            nonce: nonce.0.wrapping_add(joins),
            build: build.clone(),
            device: device.clone(),
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
            return Err(SessionError::told_to_go());
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

    /// Leaves the run. The heartbeat must have ended.
    ///
    /// # Errors
    /// The coordinator is out of reach or refuses.
    pub async fn leave(&self, outcome: Outcome) -> Result<(), SessionError> {
        let patience = match outcome {
            Outcome::Drained => self.config.patience.min(FAREWELL),
            Outcome::Done | Outcome::Failed { .. } => self.config.patience,
        };
        let outcome = match outcome {
            Outcome::Done | Outcome::Drained => v1::leave_request::Outcome::Done(v1::Done {}),
            Outcome::Failed { reason } => v1::leave_request::Outcome::Failed(v1::Failed { reason }),
        };
        let identity = self.identity();
        let leave = || {
            let mut client = self.client();
            let request = v1::LeaveRequest {
                fence: Some(self.fence(&identity)),
                outcome: Some(outcome.clone()),
            };
            async move { client.leave(request).await }
        };
        call(&self.config.url, "Leave", patience, leave)
            .await
            .map(drop)
    }

    /// A request that is made again when the coordinator did not know this worker, and the
    /// generation goes on all the same.
    pub(crate) async fn ask<T, F>(
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
        client(self.channel.clone())
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
