//! What a heartbeat carries: phases, committed steps and skipped samples; and checkpoint parts.

use super::{ConvertError, all, required, try_all};
use crate::v1;
use twinspan_types::{
    Epoch, Evaluation, LaneId, Part, Phase, Skip, SkipReason, Step, StepMetrics, StepReport,
};

impl From<Phase> for v1::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Joining => Self::Joining,
            Phase::Healing => Self::Healing,
            Phase::DataWait => Self::DataWait,
            Phase::Compute => Self::Compute,
            Phase::Collective => Self::Collective,
            Phase::Checkpoint => Self::Checkpoint,
            Phase::Evaluation => Self::Evaluation,
            Phase::Leaving => Self::Leaving,
        }
    }
}

/// The phase that a number stands for.
pub(super) fn phase(value: i32, field: &'static str) -> Result<Phase, ConvertError> {
    match v1::Phase::try_from(value) {
        Ok(v1::Phase::Joining) => Ok(Phase::Joining),
        Ok(v1::Phase::Healing) => Ok(Phase::Healing),
        Ok(v1::Phase::DataWait) => Ok(Phase::DataWait),
        Ok(v1::Phase::Compute) => Ok(Phase::Compute),
        Ok(v1::Phase::Collective) => Ok(Phase::Collective),
        Ok(v1::Phase::Checkpoint) => Ok(Phase::Checkpoint),
        Ok(v1::Phase::Evaluation) => Ok(Phase::Evaluation),
        Ok(v1::Phase::Leaving) => Ok(Phase::Leaving),
        Ok(v1::Phase::Unspecified) | Err(_) => Err(ConvertError::Unknown { field, value }),
    }
}

impl From<StepMetrics> for v1::StepMetrics {
    fn from(metrics: StepMetrics) -> Self {
        Self {
            loss: metrics.loss,
            logit_scale: metrics.logit_scale,
            lr: metrics.lr,
            grad_norm: metrics.grad_norm,
            data_time: metrics.data_time,
            batch_time: metrics.batch_time,
            samples_per_second: metrics.samples_per_second,
        }
    }
}

impl From<v1::StepMetrics> for StepMetrics {
    fn from(wire: v1::StepMetrics) -> Self {
        Self {
            loss: wire.loss,
            logit_scale: wire.logit_scale,
            lr: wire.lr,
            grad_norm: wire.grad_norm,
            data_time: wire.data_time,
            batch_time: wire.batch_time,
            samples_per_second: wire.samples_per_second,
        }
    }
}

impl From<StepReport> for v1::StepReport {
    fn from(report: StepReport) -> Self {
        Self {
            step: report.step.0,
            metrics: Some(report.metrics.into()),
            cursors: all(report.cursors),
            sample_hash: report.sample_hash,
            skips: all(report.skips),
        }
    }
}

impl TryFrom<v1::StepReport> for StepReport {
    type Error = ConvertError;

    fn try_from(wire: v1::StepReport) -> Result<Self, ConvertError> {
        Ok(Self {
            step: Step(wire.step),
            metrics: required(wire.metrics, "StepReport.metrics")?.into(),
            cursors: all(wire.cursors),
            sample_hash: wire.sample_hash,
            skips: try_all(wire.skips)?,
        })
    }
}

impl From<Evaluation> for v1::Evaluation {
    fn from(evaluation: Evaluation) -> Self {
        let metrics = evaluation.metrics.into_iter();
        let metrics = metrics.map(|(name, value)| v1::Metric { name, value });
        Self {
            step: evaluation.step.0,
            metrics: metrics.collect(),
        }
    }
}

impl From<v1::Evaluation> for Evaluation {
    fn from(wire: v1::Evaluation) -> Self {
        let metrics = wire.metrics.into_iter();
        Self {
            step: Step(wire.step),
            metrics: metrics
                .map(|v1::Metric { name, value }| (name, value))
                .collect(),
        }
    }
}

impl From<SkipReason> for v1::SkipReason {
    fn from(reason: SkipReason) -> Self {
        match reason {
            SkipReason::MissingImage => Self::MissingImage,
            SkipReason::MissingCaption => Self::MissingCaption,
            SkipReason::CorruptImage => Self::CorruptImage,
            SkipReason::UndecodableText => Self::UndecodableText,
            SkipReason::TruncatedShard => Self::TruncatedShard,
            SkipReason::QuarantinedShard => Self::QuarantinedShard,
        }
    }
}

fn skip_reason(value: i32) -> Result<SkipReason, ConvertError> {
    match v1::SkipReason::try_from(value) {
        Ok(v1::SkipReason::MissingImage) => Ok(SkipReason::MissingImage),
        Ok(v1::SkipReason::MissingCaption) => Ok(SkipReason::MissingCaption),
        Ok(v1::SkipReason::CorruptImage) => Ok(SkipReason::CorruptImage),
        Ok(v1::SkipReason::UndecodableText) => Ok(SkipReason::UndecodableText),
        Ok(v1::SkipReason::TruncatedShard) => Ok(SkipReason::TruncatedShard),
        Ok(v1::SkipReason::QuarantinedShard) => Ok(SkipReason::QuarantinedShard),
        Ok(v1::SkipReason::Unspecified) | Err(_) => Err(ConvertError::Unknown {
            field: "Skip.reason",
            value,
        }),
    }
}

impl From<Skip> for v1::Skip {
    fn from(skip: Skip) -> Self {
        Self {
            step: skip.step.0,
            lane: skip.lane.0,
            epoch: skip.epoch.0,
            shard: skip.shard,
            key: skip.key,
            reason: v1::SkipReason::from(skip.reason).into(),
            detail: skip.detail,
        }
    }
}

impl TryFrom<v1::Skip> for Skip {
    type Error = ConvertError;

    fn try_from(wire: v1::Skip) -> Result<Self, ConvertError> {
        Ok(Self {
            step: Step(wire.step),
            lane: LaneId(wire.lane),
            epoch: Epoch(wire.epoch),
            shard: wire.shard,
            key: wire.key,
            reason: skip_reason(wire.reason)?,
            detail: wire.detail,
        })
    }
}

impl From<Part> for v1::Part {
    fn from(part: Part) -> Self {
        Self {
            name: part.name,
            bytes: part.bytes,
            sha256: part.sha256,
        }
    }
}

impl From<v1::Part> for Part {
    fn from(wire: v1::Part) -> Self {
        Self {
            name: wire.name,
            bytes: wire.bytes,
            sha256: wire.sha256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_and_skip_reason_survives_the_wire() {
        let phases = [
            Phase::Joining,
            Phase::Healing,
            Phase::DataWait,
            Phase::Compute,
            Phase::Collective,
            Phase::Checkpoint,
            Phase::Evaluation,
            Phase::Leaving,
        ];
        for known in phases {
            assert_eq!(phase(v1::Phase::from(known).into(), "x"), Ok(known));
        }
        let reasons = [
            SkipReason::MissingImage,
            SkipReason::MissingCaption,
            SkipReason::CorruptImage,
            SkipReason::UndecodableText,
            SkipReason::TruncatedShard,
            SkipReason::QuarantinedShard,
        ];
        for known in reasons {
            assert_eq!(skip_reason(v1::SkipReason::from(known).into()), Ok(known));
        }
    }

    #[test]
    fn an_evaluation_survives_the_wire() {
        let metrics = [
            ("val/a-zeroshot-val-top1", 0.25),
            ("val/image_to_text_R@1", 0.1),
        ];
        let evaluation = Evaluation {
            step: Step(128),
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        let wire = v1::Evaluation::from(evaluation.clone());
        assert_eq!(Evaluation::from(wire), evaluation);
    }

    #[test]
    fn an_unknown_number_is_named_with_its_field() {
        let error = phase(99, "ReportRequest.phase").expect_err("unknown");
        assert_eq!(
            error.to_string(),
            "ReportRequest.phase is 99, which this build does not know"
        );
        assert!(skip_reason(0).is_err());
    }
}
