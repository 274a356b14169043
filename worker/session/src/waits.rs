//! What a worker waits for: a generation, an order, a commit.

use crate::SessionError;
use crate::membership::Membership;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use twinspan_proto::poll::world_pause;
use twinspan_proto::v1;
use twinspan_proto::v1::get_world_response::State;
use twinspan_types::{
    CheckpointName, Cursor, Directive, Generation, GenerationFault, Part, Quarantine, Rank, Stamp,
    Step, World,
};

/// Pause between two looks whether something has come about.
const POLL: Duration = Duration::from_millis(50);

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

impl Membership {
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
            if self.shared.is_draining() {
                return Err(SessionError::told_to_go());
            }
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
            sleep(POLL).await;
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
            sleep(POLL).await;
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
            sleep(POLL).await;
        }
    }

    /// Waits until what is still to be reported was taken, as long as that makes sense.
    pub async fn deliver(&self) {
        let start = Instant::now();
        while start.elapsed() < self.config.patience
            && self.shared.delivers()
            && !(self.shared.outbox().is_empty() && self.shared.evaluations().is_empty())
            && self.check().is_ok()
        {
            self.shared.wake.notify_one();
            sleep(POLL).await;
        }
    }

    fn unreachable(&self, call: &'static str, waited: Duration, last: String) -> SessionError {
        SessionError::Unreachable {
            url: self.config.url.clone(),
            call,
            waited,
            last,
        }
    }
}
