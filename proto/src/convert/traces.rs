//! How ranks spend their time, and what their processes use.

use super::{ConvertError, all, required, try_all};
use crate::v1;
use std::time::Duration;
use twinspan_types::{
    Generation, RankSpan, RankTrace, SampleReason, SpanName, Step, TraceKind, Vitals,
};

/// Both names of every span.
const NAMES: [(SpanName, v1::SpanName); 15] = [
    (SpanName::DataWait, v1::SpanName::DataWait),
    (SpanName::Decode, v1::SpanName::Decode),
    (SpanName::ImageForward, v1::SpanName::ImageForward),
    (SpanName::TextForward, v1::SpanName::TextForward),
    (SpanName::AllGather, v1::SpanName::AllGather),
    (SpanName::Loss, v1::SpanName::Loss),
    (SpanName::Backward, v1::SpanName::Backward),
    (SpanName::AllReduce, v1::SpanName::AllReduce),
    (SpanName::Optimizer, v1::SpanName::Optimizer),
    (SpanName::Commit, v1::SpanName::Commit),
    (SpanName::Checkpoint, v1::SpanName::Checkpoint),
    (SpanName::Join, v1::SpanName::Join),
    (SpanName::Connect, v1::SpanName::Connect),
    (SpanName::Heal, v1::SpanName::Heal),
    (SpanName::FirstStep, v1::SpanName::FirstStep),
];

const REASONS: [(SampleReason, v1::SampleReason); 5] = [
    (SampleReason::Interval, v1::SampleReason::Interval),
    (SampleReason::First, v1::SampleReason::First),
    (SampleReason::Slow, v1::SampleReason::Slow),
    (SampleReason::Failed, v1::SampleReason::Failed),
    (SampleReason::Checkpoint, v1::SampleReason::Checkpoint),
];

impl From<SpanName> for v1::SpanName {
    fn from(name: SpanName) -> Self {
        let known = NAMES.iter().find(|(ours, _)| *ours == name);
        known.map_or(Self::Unspecified, |(_, wire)| *wire)
    }
}

/// The span's name that a number stands for.
pub(super) fn span_name(value: i32, field: &'static str) -> Result<SpanName, ConvertError> {
    let known = NAMES.iter().find(|(_, wire)| i32::from(*wire) == value);
    let known = known.map(|(ours, _)| *ours);
    known.ok_or(ConvertError::Unknown { field, value })
}

fn reason_to_wire(reason: Option<SampleReason>) -> i32 {
    let known = REASONS.iter().find(|(ours, _)| Some(*ours) == reason);
    known.map_or(0, |(_, wire)| i32::from(*wire))
}

fn reason(value: i32) -> Result<Option<SampleReason>, ConvertError> {
    if value == 0 {
        return Ok(None);
    }
    let known = REASONS.iter().find(|(_, wire)| i32::from(*wire) == value);
    let known = known.map(|(ours, _)| Some(*ours));
    known.ok_or(ConvertError::Unknown {
        field: "RankTrace.sampled",
        value,
    })
}

impl From<RankSpan> for v1::RankSpan {
    fn from(span: RankSpan) -> Self {
        Self {
            name: v1::SpanName::from(span.name).into(),
            detail: span.detail,
            offset_us: span.offset_us,
            duration_us: span.duration_us,
        }
    }
}

impl TryFrom<v1::RankSpan> for RankSpan {
    type Error = ConvertError;

    fn try_from(wire: v1::RankSpan) -> Result<Self, ConvertError> {
        Ok(Self {
            name: span_name(wire.name, "RankSpan.name")?,
            detail: wire.detail,
            offset_us: wire.offset_us,
            duration_us: wire.duration_us,
        })
    }
}

impl From<RankTrace> for v1::RankTrace {
    fn from(trace: RankTrace) -> Self {
        use v1::rank_trace::Kind;
        let kind = match trace.kind {
            TraceKind::Step(step) => Kind::Step(step.0),
            TraceKind::Checkpoint(step) => Kind::Checkpoint(step.0),
            TraceKind::Generation => Kind::GenerationStart(true),
        };
        Self {
            kind: Some(kind),
            generation: trace.generation.0,
            started_unix_nanos: u64::try_from(trace.started.as_nanos()).unwrap_or(u64::MAX),
            duration_us: trace.duration_us,
            sampled: reason_to_wire(trace.sampled),
            spans: all(trace.spans),
        }
    }
}

impl TryFrom<v1::RankTrace> for RankTrace {
    type Error = ConvertError;

    fn try_from(wire: v1::RankTrace) -> Result<Self, ConvertError> {
        use v1::rank_trace::Kind;
        let kind = match required(wire.kind, "RankTrace.kind")? {
            Kind::Step(step) => TraceKind::Step(Step(step)),
            Kind::Checkpoint(step) => TraceKind::Checkpoint(Step(step)),
            Kind::GenerationStart(_) => TraceKind::Generation,
        };
        Ok(Self {
            kind,
            generation: Generation(wire.generation),
            started: Duration::from_nanos(wire.started_unix_nanos),
            duration_us: wire.duration_us,
            sampled: reason(wire.sampled)?,
            spans: try_all(wire.spans)?,
        })
    }
}

impl From<Vitals> for v1::Vitals {
    fn from(vitals: Vitals) -> Self {
        Self {
            memory_bytes: vitals.memory_bytes,
            device_memory_bytes: vitals.device_memory_bytes,
            sent_bytes: vitals.sent_bytes,
            received_bytes: vitals.received_bytes,
        }
    }
}

impl From<v1::Vitals> for Vitals {
    fn from(wire: v1::Vitals) -> Self {
        Self {
            memory_bytes: wire.memory_bytes,
            device_memory_bytes: wire.device_memory_bytes,
            sent_bytes: wire.sent_bytes,
            received_bytes: wire.received_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_of_every_span_survives_the_wire() {
        let spans = SpanName::ALL.map(|name| RankSpan {
            name,
            detail: (name == SpanName::Checkpoint).then(|| "optimizer".to_owned()),
            offset_us: if name == SpanName::Decode { -5 } else { 7 },
            duration_us: 9,
        });
        let kinds = [
            TraceKind::Step(Step(3)),
            TraceKind::Checkpoint(Step(4)),
            TraceKind::Generation,
        ];
        let reasons = REASONS.iter().map(|(reason, _)| Some(*reason));
        for (kind, sampled) in kinds.into_iter().cycle().zip(reasons.chain([None])) {
            let trace = RankTrace {
                kind,
                generation: Generation(2),
                started: Duration::new(1_764_100_000, 17),
                duration_us: 100,
                sampled,
                spans: spans.to_vec(),
            };
            let wire = v1::RankTrace::from(trace.clone());
            assert_eq!(RankTrace::try_from(wire), Ok(trace));
        }
    }
}
