//! What an operator sees.

use super::reports::phase;
use super::traces::span_name;
use super::{ConvertError, all, try_all};
use crate::v1;
use std::time::Duration;
use twinspan_types::{
    Generation, Rank, RankStatus, RunState, RunStatus, Step, Straggler, Term, WorkerId,
};

impl From<RunState> for v1::RunState {
    fn from(state: RunState) -> Self {
        match state {
            RunState::WaitingForWorkers => Self::WaitingForWorkers,
            RunState::Training => Self::Training,
            RunState::Stopping => Self::Stopping,
            RunState::Stopped => Self::Stopped,
            RunState::Ended => Self::Ended,
            RunState::Failed => Self::Failed,
        }
    }
}

fn run_state(value: i32) -> Result<RunState, ConvertError> {
    match v1::RunState::try_from(value) {
        Ok(v1::RunState::WaitingForWorkers) => Ok(RunState::WaitingForWorkers),
        Ok(v1::RunState::Training) => Ok(RunState::Training),
        Ok(v1::RunState::Stopping) => Ok(RunState::Stopping),
        Ok(v1::RunState::Stopped) => Ok(RunState::Stopped),
        Ok(v1::RunState::Ended) => Ok(RunState::Ended),
        Ok(v1::RunState::Failed) => Ok(RunState::Failed),
        Ok(v1::RunState::Unspecified) | Err(_) => Err(ConvertError::Unknown {
            field: "GetStatusResponse.state",
            value,
        }),
    }
}

/// Seconds as a time; what is no time counts as none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl From<RankStatus> for v1::RankStatus {
    fn from(status: RankStatus) -> Self {
        Self {
            rank: status.rank.0,
            worker: status.worker.0,
            host: status.host,
            pid: status.pid,
            address: status.address,
            phase: v1::Phase::from(status.phase).into(),
            step: status.step.0,
            heartbeat_age_seconds: status.heartbeat_age.as_secs_f64(),
            lease_age_seconds: status.lease_age.map(|age| age.as_secs_f64()),
            device: status.device,
            vitals: Some(status.vitals.into()),
            draining: status.draining,
        }
    }
}

impl TryFrom<v1::RankStatus> for RankStatus {
    type Error = ConvertError;

    fn try_from(wire: v1::RankStatus) -> Result<Self, ConvertError> {
        Ok(Self {
            rank: Rank(wire.rank),
            worker: WorkerId(wire.worker),
            host: wire.host,
            pid: wire.pid,
            address: wire.address,
            phase: phase(wire.phase, "RankStatus.phase")?,
            step: Step(wire.step),
            heartbeat_age: seconds(wire.heartbeat_age_seconds),
            lease_age: wire.lease_age_seconds.map(seconds),
            device: wire.device,
            vitals: wire.vitals.unwrap_or_default().into(),
            draining: wire.draining,
        })
    }
}

impl From<RunStatus> for v1::GetStatusResponse {
    fn from(status: RunStatus) -> Self {
        Self {
            run: status.run,
            state: v1::RunState::from(status.state).into(),
            message: status.message,
            term: status.term.0,
            generation: status.generation.0,
            step: status.step.0,
            total_steps: status.total_steps.0,
            metrics: status.metrics.map(Into::into),
            global_batch: status.global_batch,
            skipped: status.skipped,
            checkpoint: status.checkpoint,
            ranks: all(status.ranks),
            training_seconds: status.training_time.as_secs_f64(),
            start_step: status.start.0,
            evaluation: status.evaluation.map(Into::into),
            straggler: status.straggler.map(Into::into),
        }
    }
}

impl TryFrom<v1::GetStatusResponse> for RunStatus {
    type Error = ConvertError;

    fn try_from(wire: v1::GetStatusResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            state: run_state(wire.state)?,
            run: wire.run,
            message: wire.message,
            term: Term(wire.term),
            generation: Generation(wire.generation),
            step: Step(wire.step),
            total_steps: Step(wire.total_steps),
            metrics: wire.metrics.map(Into::into),
            global_batch: wire.global_batch,
            skipped: wire.skipped,
            checkpoint: wire.checkpoint,
            ranks: try_all(wire.ranks)?,
            training_time: seconds(wire.training_seconds),
            start: Step(wire.start_step),
            evaluation: wire.evaluation.map(Into::into),
            straggler: wire.straggler.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<Straggler> for v1::Straggler {
    fn from(straggler: Straggler) -> Self {
        Self {
            rank: straggler.rank.0,
            worker: straggler.worker.0,
            host: straggler.host,
            phase: v1::SpanName::from(straggler.phase).into(),
            excess_seconds: straggler.excess.as_secs_f64(),
            from_step: straggler.from.0,
            through_step: straggler.through.0,
        }
    }
}

impl TryFrom<v1::Straggler> for Straggler {
    type Error = ConvertError;

    fn try_from(wire: v1::Straggler) -> Result<Self, ConvertError> {
        Ok(Self {
            rank: Rank(wire.rank),
            worker: WorkerId(wire.worker),
            host: wire.host,
            phase: span_name(wire.phase, "Straggler.phase")?,
            excess: seconds(wire.excess_seconds),
            from: Step(wire.from_step),
            through: Step(wire.through_step),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{Phase, SpanName, Vitals};

    #[test]
    fn a_status_survives_the_wire() {
        let rank = RankStatus {
            rank: Rank(1),
            worker: WorkerId("w1-1".to_owned()),
            host: "here".to_owned(),
            pid: 7,
            address: "h:1".to_owned(),
            phase: Phase::Collective,
            step: Step(9),
            heartbeat_age: Duration::from_millis(250),
            lease_age: Some(Duration::from_millis(1500)),
            device: "cpu".to_owned(),
            vitals: Vitals {
                memory_bytes: 1,
                device_memory_bytes: Some(2),
                sent_bytes: 3,
                received_bytes: 4,
            },
            draining: true,
        };
        let status = RunStatus {
            run: "r".to_owned(),
            state: RunState::Stopping,
            message: "m".to_owned(),
            term: Term(2),
            generation: Generation(3),
            step: Step(9),
            total_steps: Step(10),
            metrics: None,
            global_batch: 64,
            skipped: 1,
            checkpoint: Some("checkpoints/x".to_owned()),
            ranks: vec![rank],
            training_time: Duration::from_secs(4),
            start: Step(5),
            evaluation: None,
            straggler: Some(Straggler {
                rank: Rank(1),
                worker: WorkerId("w1-1".to_owned()),
                host: "here".to_owned(),
                phase: SpanName::Decode,
                excess: Duration::from_millis(500),
                from: Step(1),
                through: Step(8),
            }),
        };
        let wire = v1::GetStatusResponse::from(status.clone());
        assert_eq!(RunStatus::try_from(wire), Ok(status));
    }
}
