//! How each request is answered.

use crate::active::{Run, Stage, stopped_at};
use crate::core::Core;
use crate::message::{Action, Request, Response};
use crate::quarantine::Known;
use crate::roster::{Presence, Seat};
use twinspan_types::{
    CheckpointName, Ended, Fact, Fence, Generation, Join, Leave, LeaveOutcome, PartsStored,
    Quarantine, Ready, Report, ReportReply, ServiceError, Step, WorldState,
};

/// Steps that a lease reaches beyond the step that a rank has committed, at the least: before the
/// pace of the run is known, and when a step takes longer than the lease is to last.
const LEAST_LEASE: u64 = 64;

impl Core {
    pub(crate) fn answer(&mut self, request: Request) -> Result<Response, ServiceError> {
        match request {
            Request::Join(join) => self.join(join),
            Request::GetWorld(ready) => self.get_world(&ready),
            Request::ExtendLease(fence, step) => self.extend_lease(&fence, step),
            Request::Report(report) => self.report(report),
            Request::PartsStored(stored) => self.parts_stored(stored),
            Request::Quarantine(fence, quarantine) => self.quarantine(&fence, quarantine),
            Request::Leave(leave) => self.leave(leave),
            Request::Stop => {
                self.stop();
                Ok(Response::Stopping)
            }
            Request::GetStatus => Ok(Response::Status(Box::new(self.status()))),
        }
    }

    fn join(&mut self, join: Join) -> Result<Response, ServiceError> {
        self.watch.reached(self.now);
        if let Some(joined) = self.roster.rejoin(join.nonce, self.lineage.highest()) {
            return Ok(Response::Joined(joined));
        }
        if let Some(ended) = self.run.ended() {
            return Err(over(ended));
        }
        self.join_with_claim(join).map(Response::Joined)
    }

    /// Who speaks; the worker counts as heard.
    fn hear(&mut self, fence: &Fence) -> Result<Seat, ServiceError> {
        let seat = self.roster.speaker(fence, self.lineage.highest())?;
        self.roster.worker_mut(seat).heard = self.now;
        Ok(seat)
    }

    fn get_world(&mut self, ready: &Ready) -> Result<Response, ServiceError> {
        let Ready {
            fence,
            stamp,
            fault,
        } = ready;
        let seat = self.hear(fence)?;
        if let Some(ended) = self.run.ended() {
            return Ok(Response::World(WorldState::Ended(ended)));
        }
        let place = self.roster.worker(seat).place;
        let member_of = place.map(|(generation, _)| generation).unwrap_or_default();
        if let Run::Active(active) = &self.run
            && let Stage::Leaving { step, .. } = active.stage
            && member_of != active.world.generation
        {
            // No other generation will be formed.
            let ended = stopped_at(step, self.config.total_steps);
            return Ok(Response::World(WorldState::Ended(ended)));
        }
        let pending = WorldState::Pending {
            joined: self.roster.joined(),
            wanted: self.config.workers,
        };
        if member_of > fence.generation {
            // It has been dealt a place in a generation that it has not heard of yet.
            return Ok(Response::World(match &self.run {
                Run::Active(active) if active.world.generation == member_of => {
                    WorldState::Formed(active.world.clone())
                }
                Run::Forming { .. } => pending,
                _ => {
                    let now = self.now;
                    self.roster.worker_mut(seat).wait_with(*stamp, now);
                    pending
                }
            }));
        }
        let now = self.now;
        self.roster.worker_mut(seat).wait_with(*stamp, now);
        if let Some(fault) = fault.clone().filter(|_| member_of == fence.generation) {
            self.take_fault(seat, fence.generation, fault)?;
        }
        if let Run::Active(active) = &self.run
            && active.world.generation == member_of
        {
            self.break_up();
        }
        Ok(Response::World(pending))
    }

    /// A message that only a rank of the generation may send.
    fn hear_rank(&mut self, fence: &Fence) -> Result<Seat, ServiceError> {
        let seat = self.hear(fence)?;
        if let Some(ended) = self.run.ended() {
            return Err(over(ended));
        }
        if fence.generation == Generation(0) {
            return Err(ServiceError::Invalid {
                detail: "a worker without a generation has no lanes and no parts".to_owned(),
            });
        }
        match self.is_at_work(seat, fence.generation) {
            true => Ok(seat),
            false => Err(self.roster.fenced(fence, self.lineage.highest())),
        }
    }

    /// Whether a worker speaks as a member of the generation at work.
    pub(crate) fn is_at_work(&self, seat: Seat, generation: Generation) -> bool {
        let place = self.roster.worker(seat).place;
        matches!(&self.run, Run::Active(active) if active.world.generation == generation)
            && place.is_some_and(|(member_of, _)| member_of == generation)
    }

    fn extend_lease(&mut self, fence: &Fence, step: Step) -> Result<Response, ServiceError> {
        let seat = self.hear_rank(fence)?;
        let ahead = self.progress.steps_within(self.config.lease_ahead);
        let through = step.0.saturating_add(ahead.max(LEAST_LEASE));
        let through = Step(through).min(self.config.total_steps);
        let worker = self.roster.worker_mut(seat);
        worker.lease = worker.lease.max(through);
        worker.leased = Some(self.now);
        Ok(Response::Lease(worker.lease))
    }

    fn report(&mut self, report: Report) -> Result<Response, ServiceError> {
        let seat = self.hear(&report.fence)?;
        let now = self.now;
        self.roster.worker_mut(seat).progressed(&report, now);
        let at_work = self.is_at_work(seat, report.fence.generation);
        let mut reply = ReportReply {
            acknowledged_step: self.written,
            received_step: self.progress.step,
            acknowledged_evaluation: self.evaluations.written,
            superseded: report.fence.generation != Generation(0) && !at_work,
            directive: None,
            ended: None,
        };
        if at_work {
            self.take_steps(seat, report, &mut reply);
        }
        if let Run::Active(active) = &self.run
            && at_work
        {
            reply.directive = Some(active.directive);
        }
        reply.ended = self.run.ended();
        Ok(Response::Report(reply))
    }

    fn take_steps(&mut self, seat: Seat, mut report: Report, reply: &mut ReportReply) {
        let generation = report.fence.generation;
        self.take_traces(seat, std::mem::take(&mut report.traces));
        let worker = self.roster.worker_mut(seat);
        worker.step = worker.step.max(report.step);
        if self.watch.stepped(self.now, report.step) {
            self.pairs.worked(self.now);
        }
        let mut steps = self.progress.accept(self.now, report.steps);
        reply.received_step = self.progress.step;
        let skips = steps
            .iter_mut()
            .flat_map(|step| std::mem::take(&mut step.skips));
        let skips = self.skips.accept(skips.collect());
        if !steps.is_empty() {
            self.append(Action::AppendMetrics(generation, steps));
        }
        let evaluations = self.evaluations.accept(report.evaluations);
        if !evaluations.is_empty() {
            self.append(Action::AppendEvaluations(generation, evaluations));
            if self.evaluations.told() >= self.config.total_steps {
                // Nothing else will follow, and the ranks wait for it to be written.
                self.flush();
            }
        }
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
            // An earlier term may have ordered it to be the last, and told nobody of its end.
            if stored.stop && self.is_at_work(seat, stored.fence.generation) {
                self.leave_after(name.step);
            }
            return Ok(Response::Parts { committed: true });
        }
        self.hear_rank(&stored.fence)?;
        if !self.checkpoints.is_underway(&name)
            && let Run::Active(active) = &mut self.run
        {
            let rank = self.roster.worker(seat).place.map(|(_, rank)| rank);
            let rank = rank.unwrap_or_default();
            let streams = self.config.streams;
            let stored = active.attempts.store(&active.world, rank, streams, stored);
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
                let who = self.roster.worker(seat).describe();
                self.fail(format!("{who} cannot read {url}: {reason}. {excess}"));
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
        let finishing = match &self.run {
            Run::Active(active) => matches!(active.stage, Stage::Leaving { .. }),
            Run::Waiting(_) | Run::Forming { .. } => false,
            Run::Closing { .. } | Run::Ending { .. } | Run::Over(_) => true,
        };
        if !finishing && !left_before {
            self.left_too_early(seat, outcome);
        }
        Ok(Response::Left)
    }

    /// A worker that goes is no loss to a run that can form another generation; one that failed
    /// by itself would fail there, too.
    fn left_too_early(&mut self, seat: Seat, outcome: LeaveOutcome) {
        match outcome {
            LeaveOutcome::Failed { reason } if self.roster.worker(seat).place.is_some() => {
                let who = self.roster.worker(seat).describe();
                self.fail(format!("{who} failed: {reason}"));
            }
            LeaveOutcome::Failed { reason } => {
                self.drop_lost(seat, format!("it failed: {reason}"));
            }
            LeaveOutcome::Done => self.drop_lost(seat, "it left".to_owned()),
        }
    }
}

fn over(ended: Ended) -> ServiceError {
    ServiceError::RunOver {
        failed: ended.failed,
        reason: ended.reason,
    }
}
