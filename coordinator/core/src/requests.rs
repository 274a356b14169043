//! How each request is answered.

use crate::active::{Run, Stage};
use crate::core::Core;
use crate::message::{Action, Request, Response};
use crate::quarantine::Known;
use crate::roster::{Presence, Seat};
use twinspan_types::{
    CheckpointName, Ended, Fact, Fence, Generation, Join, Leave, LeaveOutcome, PartsStored,
    Quarantine, Report, ReportReply, ServiceError, Step, WorldState,
};

/// Steps that a lease reaches beyond the step that a rank has committed, at the least: before the
/// pace of the run is known, and when a step takes longer than the lease is to last.
const LEAST_LEASE: u64 = 64;

impl Core {
    pub(crate) fn answer(&mut self, request: Request) -> Result<Response, ServiceError> {
        match request {
            Request::Join(join) => self.join(join),
            Request::GetWorld(fence) => self.get_world(&fence),
            Request::ExtendLease(fence, step) => self.extend_lease(&fence, step),
            Request::Report(report) => self.report(report),
            Request::PartsStored(stored) => self.parts_stored(stored),
            Request::Quarantine(fence, quarantine) => self.quarantine(&fence, quarantine),
            Request::Leave(leave) => self.leave(leave),
            Request::Stop => {
                self.stop();
                Ok(Response::Stopping)
            }
            Request::GetStatus => Ok(Response::Status(self.status())),
        }
    }

    fn join(&mut self, join: Join) -> Result<Response, ServiceError> {
        if let Some(joined) = self.roster.rejoin(join.nonce) {
            return Ok(Response::Joined(joined));
        }
        if let Some(ended) = self.run.ended() {
            return Err(over(ended));
        }
        let secret = self.entropy.secret();
        self.roster
            .admit(join, secret, self.now)
            .map(Response::Joined)
    }

    /// Who speaks; the worker counts as heard.
    fn hear(&mut self, fence: &Fence) -> Result<Seat, ServiceError> {
        let seat = self.roster.speaker(fence, self.formed)?;
        self.roster.worker_mut(seat).heard = self.now;
        Ok(seat)
    }

    fn get_world(&mut self, fence: &Fence) -> Result<Response, ServiceError> {
        self.hear(fence)?;
        let pending = WorldState::Pending {
            joined: self.roster.joined(),
            wanted: self.config.workers,
        };
        Ok(Response::World(match (&self.run, self.run.ended()) {
            (_, Some(ended)) => WorldState::Ended(ended),
            (Run::Active(active), None) => WorldState::Formed(active.world.clone()),
            (_, None) => pending,
        }))
    }

    /// A message that only a rank of the generation may send.
    fn hear_rank(&mut self, fence: &Fence) -> Result<Seat, ServiceError> {
        let seat = self.hear(fence)?;
        if let Some(ended) = self.run.ended() {
            return Err(over(ended));
        }
        match fence.generation {
            Generation(0) => Err(ServiceError::Invalid {
                detail: "a worker without a generation has no lanes and no parts".to_owned(),
            }),
            _ => Ok(seat),
        }
    }

    fn extend_lease(&mut self, fence: &Fence, step: Step) -> Result<Response, ServiceError> {
        let seat = self.hear_rank(fence)?;
        let ahead = self.progress.steps_within(self.config.lease_ahead);
        let through = step.0.saturating_add(ahead.max(LEAST_LEASE));
        let through = Step(through).min(self.config.total_steps);
        let worker = self.roster.worker_mut(seat);
        worker.lease = worker.lease.max(through);
        Ok(Response::Lease(worker.lease))
    }

    fn report(&mut self, report: Report) -> Result<Response, ServiceError> {
        let seat = self.hear(&report.fence)?;
        let worker = self.roster.worker_mut(seat);
        worker.phase = report.phase;
        worker.collective_sequence = report.collective_sequence;
        let mut reply = ReportReply {
            acknowledged_step: Step(0),
            acknowledged_skips: 0,
            directive: None,
            ended: None,
        };
        let in_generation = report.fence.generation != Generation(0);
        if in_generation && matches!(self.run, Run::Active(_)) {
            self.take_steps(seat, report, &mut reply);
        }
        if let Run::Active(active) = &self.run
            && in_generation
        {
            reply.directive = Some(active.directive);
        }
        reply.ended = self.run.ended();
        Ok(Response::Report(reply))
    }

    fn take_steps(&mut self, seat: Seat, report: Report, reply: &mut ReportReply) {
        let generation = report.fence.generation;
        let worker = self.roster.worker_mut(seat);
        worker.step = worker.step.max(report.step);
        self.watch.stepped(self.now, report.step);
        reply.acknowledged_skips = u32::try_from(report.skips.len()).unwrap_or(u32::MAX);
        let steps = self.progress.accept(self.now, report.steps);
        reply.acknowledged_step = self.progress.step;
        if !steps.is_empty() {
            self.append(Action::AppendMetrics(generation, steps));
        }
        let skips = self.skips.accept(report.skips);
        if !skips.is_empty() {
            self.append(Action::AppendSkips(generation, skips));
            if let Some(reason) = self.skips.excess() {
                self.fail(reason);
            }
        }
    }

    fn parts_stored(&mut self, stored: PartsStored) -> Result<Response, ServiceError> {
        // Answered even when the run has failed meanwhile: the checkpoint exists.
        let seat = self.hear(&stored.fence)?;
        let name = CheckpointName {
            step: stored.step,
            attempt: stored.attempt,
        };
        if self.checkpoints.is_committed(&name) {
            return Ok(Response::Parts { committed: true });
        }
        self.hear_rank(&stored.fence)?;
        if !self.checkpoints.is_underway(&name)
            && let Run::Active(active) = &mut self.run
        {
            let stored = active.attempts.store(&active.world, seat.rank(), stored);
            stored.map_err(|detail| ServiceError::Invalid { detail })?;
        }
        Ok(Response::Parts { committed: false })
    }

    /// Logs a quarantine unless the run has given up too much by it; then it fails.
    fn quarantine(
        &mut self,
        fence: &Fence,
        quarantine: Quarantine,
    ) -> Result<Response, ServiceError> {
        let seat = self.hear_rank(fence)?;
        let known = self.quarantines.known(&quarantine);
        if known == Known::No {
            self.skips.quarantine(&quarantine);
            if let Some(excess) = self.skips.excess() {
                let Quarantine { url, reason, .. } = quarantine;
                let rank = seat.rank();
                self.fail(format!("rank {rank} cannot read {url}: {reason}. {excess}"));
            } else {
                self.quarantines.begin(quarantine.clone());
                self.log(Fact::ShardQuarantined(quarantine));
            }
        }
        let recorded = known == Known::Logged;
        Ok(Response::Quarantine { recorded })
    }

    fn leave(&mut self, leave: Leave) -> Result<Response, ServiceError> {
        let Leave { fence, outcome } = leave;
        if fence.term == self.term && !self.roster.knows(&fence.worker) {
            // Its first message was taken, and its seat is free again.
            return Ok(Response::Left);
        }
        let seat = self.hear(&fence)?;
        let left_before = self.roster.worker(seat).presence == Presence::Gone;
        self.roster.worker_mut(seat).presence = Presence::Gone;
        match &self.run {
            Run::Waiting { .. } => self.roster.remove(seat),
            Run::Forming { .. } if !left_before => self.left_too_early(seat, outcome),
            Run::Active(active) if !left_before => match active.stage {
                Stage::Training | Stage::Stopping => self.left_too_early(seat, outcome),
                Stage::Leaving { .. } => {}
            },
            _ => {}
        }
        Ok(Response::Left)
    }

    fn left_too_early(&mut self, seat: Seat, outcome: LeaveOutcome) {
        let who = self.describe(seat);
        let blamed = match outcome {
            LeaveOutcome::Failed { blamed, .. } => {
                blamed.and_then(|rank| self.roster.of_rank(rank))
            }
            LeaveOutcome::Done => None,
        };
        let reason = match (outcome, blamed) {
            (LeaveOutcome::Failed { reason, .. }, Some(blamed)) if blamed != seat => {
                // It is probably dead: nobody waits for it.
                self.roster.worker_mut(blamed).presence = Presence::Gone;
                let lost = self.describe(blamed);
                format!("{lost} was lost, as rank {} reports: {reason}", seat.rank())
            }
            (LeaveOutcome::Failed { reason, .. }, _) => format!("{who} failed: {reason}"),
            (LeaveOutcome::Done, _) => format!("{who} left before the run was stopped"),
        };
        self.fail(reason);
    }
}

fn over(ended: Ended) -> ServiceError {
    ServiceError::RunOver {
        failed: ended.failed,
        reason: ended.reason,
    }
}
