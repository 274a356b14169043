//! Requests as the coordinator reads them, and its answers.

use super::reports::phase;
use super::{ConvertError, all, required, try_all};
use crate::v1;
use twinspan_types::{
    Claim, Ended, Fence, Generation, GenerationFault, Join, Joined, Leave, LeaveOutcome, Nonce,
    PartsStored, Rank, Ready, Report, ReportReply, SessionSecret, Step, Term, WorkerId, WorldState,
};

impl From<Fence> for v1::Fence {
    fn from(fence: Fence) -> Self {
        Self {
            worker: fence.worker.0,
            session_secret: fence.secret.0,
            term: fence.term.0,
            generation: fence.generation.0,
        }
    }
}

impl From<v1::Fence> for Fence {
    fn from(wire: v1::Fence) -> Self {
        Self {
            worker: WorkerId(wire.worker),
            secret: SessionSecret(wire.session_secret),
            term: Term(wire.term),
            generation: Generation(wire.generation),
        }
    }
}

impl From<v1::JoinRequest> for Join {
    fn from(wire: v1::JoinRequest) -> Self {
        Self {
            nonce: Nonce(wire.nonce),
            build: wire.build,
            device: wire.device,
            address: wire.address,
            host: wire.host,
            pid: wire.pid,
            claim: wire.claim.map(Into::into),
        }
    }
}

impl From<v1::Claim> for Claim {
    fn from(wire: v1::Claim) -> Self {
        Self {
            worker: WorkerId(wire.worker),
            generation: Generation(wire.generation),
        }
    }
}

/// The answer to a join: `config` is the run's configuration as JSON.
#[must_use]
pub fn join_response(joined: Joined, config: String) -> v1::JoinResponse {
    v1::JoinResponse {
        worker: joined.worker.0,
        session_secret: joined.secret.0,
        term: joined.term.0,
        config,
        adopted: joined.adopted,
    }
}

impl TryFrom<v1::GetWorldRequest> for Ready {
    type Error = ConvertError;

    fn try_from(wire: v1::GetWorldRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            fence: required(wire.fence, "GetWorldRequest.fence")?.into(),
            stamp: required(wire.stamp, "GetWorldRequest.stamp")?.into(),
            fault: wire.fault.map(Into::into),
        })
    }
}

impl From<GenerationFault> for v1::get_world_request::Fault {
    fn from(fault: GenerationFault) -> Self {
        match fault {
            GenerationFault::Lost(rank) => Self::LostRank(rank.0),
            GenerationFault::Diverged { step, ranks } => Self::Diverged(v1::Diverged {
                step: step.0,
                ranks: ranks.iter().map(|rank| rank.0).collect(),
            }),
            GenerationFault::NotFinite { steps } => Self::NotFinite(v1::NotFinite {
                steps: steps.iter().map(|step| step.0).collect(),
            }),
            GenerationFault::DamagedCheckpoint { what } => {
                Self::DamagedCheckpoint(v1::DamagedCheckpoint { what })
            }
        }
    }
}

impl From<v1::get_world_request::Fault> for GenerationFault {
    fn from(wire: v1::get_world_request::Fault) -> Self {
        use v1::get_world_request::Fault as Wire;
        match wire {
            Wire::LostRank(rank) => Self::Lost(Rank(rank)),
            Wire::Diverged(v1::Diverged { step, ranks }) => Self::Diverged {
                step: Step(step),
                ranks: ranks.into_iter().map(Rank).collect(),
            },
            Wire::NotFinite(v1::NotFinite { steps }) => Self::NotFinite {
                steps: steps.into_iter().map(Step).collect(),
            },
            Wire::DamagedCheckpoint(v1::DamagedCheckpoint { what }) => {
                Self::DamagedCheckpoint { what }
            }
        }
    }
}

impl From<WorldState> for v1::GetWorldResponse {
    fn from(state: WorldState) -> Self {
        use v1::get_world_response::State;
        let state = match state {
            WorldState::Pending { joined, wanted } => State::Pending(v1::Pending {
                joined: joined.0,
                wanted: wanted.0,
            }),
            WorldState::Formed(world) => State::World(world.into()),
            WorldState::Ended(ended) => State::Ended(ended.into()),
        };
        Self { state: Some(state) }
    }
}

impl From<Ended> for v1::Ended {
    fn from(ended: Ended) -> Self {
        Self {
            failed: ended.failed,
            reason: ended.reason,
        }
    }
}

impl From<v1::Ended> for Ended {
    fn from(wire: v1::Ended) -> Self {
        Self {
            failed: wire.failed,
            reason: wire.reason,
        }
    }
}

impl TryFrom<v1::ExtendLeaseRequest> for (Fence, Step) {
    type Error = ConvertError;

    fn try_from(wire: v1::ExtendLeaseRequest) -> Result<Self, ConvertError> {
        let fence = required(wire.fence, "ExtendLeaseRequest.fence")?;
        Ok((fence.into(), Step(wire.step)))
    }
}

impl TryFrom<v1::ReportRequest> for Report {
    type Error = ConvertError;

    fn try_from(wire: v1::ReportRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            fence: required(wire.fence, "ReportRequest.fence")?.into(),
            phase: phase(wire.phase, "ReportRequest.phase")?,
            step: Step(wire.step),
            collective_sequence: wire.collective_sequence,
            progress: wire.progress,
            draining: wire.draining,
            steps: try_all(wire.steps)?,
            evaluations: all(wire.evaluations),
            traces: try_all(wire.traces)?,
            vitals: wire.vitals.unwrap_or_default().into(),
        })
    }
}

impl From<ReportReply> for v1::ReportResponse {
    fn from(reply: ReportReply) -> Self {
        Self {
            acknowledged_step: reply.acknowledged_step.0,
            received_step: reply.received_step.0,
            acknowledged_evaluation: reply.acknowledged_evaluation.0,
            superseded: reply.superseded,
            directive: reply.directive.map(Into::into),
            ended: reply.ended.map(Into::into),
        }
    }
}

impl TryFrom<v1::ReportPartsRequest> for PartsStored {
    type Error = ConvertError;

    fn try_from(wire: v1::ReportPartsRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            fence: required(wire.fence, "ReportPartsRequest.fence")?.into(),
            step: Step(wire.step),
            attempt: Nonce(wire.attempt),
            stop: wire.stop,
            parts: all(wire.parts),
            cursors: all(wire.cursors),
        })
    }
}

impl TryFrom<v1::LeaveRequest> for Leave {
    type Error = ConvertError;

    fn try_from(wire: v1::LeaveRequest) -> Result<Self, ConvertError> {
        let outcome = match required(wire.outcome, "LeaveRequest.outcome")? {
            v1::leave_request::Outcome::Done(v1::Done {}) => LeaveOutcome::Done,
            v1::leave_request::Outcome::Failed(failed) => LeaveOutcome::Failed {
                reason: failed.reason,
            },
        };
        Ok(Self {
            fence: required(wire.fence, "LeaveRequest.fence")?.into(),
            outcome,
        })
    }
}
