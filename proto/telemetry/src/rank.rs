//! How a rank spent its time, as spans.

use crate::{Attributes, Span, SpanContext, SpanId, TraceId, Value};
use std::time::Duration;
use twinspan_types::{Generation, Rank, RankTrace, SampleReason, SpanName, Step, TraceKind};

/// The context of a rank within a step, for whatever it asks or says meanwhile.
#[must_use]
pub fn rank_context(
    run: &str,
    generation: Generation,
    step: Step,
    rank: Rank,
    sampled: bool,
) -> SpanContext {
    SpanContext {
        trace: TraceId::of_step(run, step),
        span: SpanId::of_rank(run, generation, step, rank),
        sampled,
    }
}

/// A trace's own span below the root that the coordinator tells of, and one for each of its parts.
#[must_use]
pub fn rank_spans(run: &str, rank: Rank, trace: &RankTrace) -> Vec<Span> {
    let generation = trace.generation;
    let (trace_id, root, own, name) = match trace.kind {
        TraceKind::Step(step) => (
            TraceId::of_step(run, step),
            SpanId::of_step(run, generation, step),
            SpanId::of_rank(run, generation, step, rank),
            "rank",
        ),
        TraceKind::Checkpoint(step) => (
            TraceId::of_step(run, step),
            SpanId::of_rank(run, generation, step, rank),
            SpanId::of_checkpoint(run, generation, step, rank),
            "checkpoint upload",
        ),
        TraceKind::Generation => (
            TraceId::of_generation(run, generation),
            SpanId::of_generation(run, generation),
            SpanId::of_entry(run, generation, rank),
            "rank",
        ),
    };
    let context = |span| SpanContext {
        trace: trace_id,
        span,
        sampled: true,
    };
    let mut attributes = vec![
        ("twinspan.rank", Value::from(i64::from(rank.0))),
        ("twinspan.generation", integer(generation.0)),
    ];
    if let TraceKind::Step(step) | TraceKind::Checkpoint(step) = trace.kind {
        attributes.push(("twinspan.step", integer(step.0)));
    }
    let duration = Duration::from_micros(trace.duration_us);
    let mut whole = Span::internal(context(own), Some(root), name, (trace.started, duration));
    whole.attributes.clone_from(&attributes);
    if let Some(reason) = trace.sampled {
        whole
            .attributes
            .push(("twinspan.sampled", reason_name(reason).into()));
    }
    whole.error = (trace.sampled == Some(SampleReason::Failed))
        .then(|| "the step changed no weight, or broke".to_owned());
    let mut spans = vec![whole];
    for (number, part) in trace.spans.iter().enumerate() {
        let start = match u64::try_from(part.offset_us) {
            Ok(after) => trace.started + Duration::from_micros(after),
            Err(_) => trace
                .started
                .saturating_sub(Duration::from_micros(part.offset_us.unsigned_abs())),
        };
        let time = (start, Duration::from_micros(part.duration_us));
        let name = part.name.as_str();
        let mut span = Span::internal(context(own.child(number)), Some(own), name, time);
        span.attributes.clone_from(&attributes);
        if let Some(detail) = &part.detail {
            span.attributes
                .push(("twinspan.file", detail.clone().into()));
        }
        if part.name == SpanName::Decode {
            // Its threads' mean; the samples were decoded while earlier steps were computed.
            span.attributes.push(("twinspan.ahead", true.into()));
        }
        spans.push(span);
    }
    spans
}

/// A number as an attribute.
#[must_use]
pub fn integer(number: u64) -> Value {
    Value::from(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Who tells, in a generation.
#[must_use]
pub fn rank_attributes(base: &Attributes, generation: Generation, rank: Rank) -> Attributes {
    let mut attributes = base.clone();
    attributes.push(("twinspan.rank", rank.to_string()));
    attributes.push(("twinspan.generation", generation.to_string()));
    attributes
}

fn reason_name(reason: SampleReason) -> &'static str {
    match reason {
        SampleReason::Interval => "interval",
        SampleReason::First => "first",
        SampleReason::Slow => "slow",
        SampleReason::Failed => "failed",
        SampleReason::Checkpoint => "checkpoint",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::RankSpan;

    fn trace(kind: TraceKind) -> RankTrace {
        let part = |name, offset_us| RankSpan {
            name,
            detail: (name == SpanName::Checkpoint).then(|| "a.safetensors".to_owned()),
            offset_us,
            duration_us: 10,
        };
        RankTrace {
            kind,
            generation: Generation(2),
            started: Duration::from_secs(100),
            duration_us: 30,
            sampled: Some(SampleReason::Interval),
            spans: vec![
                part(SpanName::Decode, -5),
                part(SpanName::Backward, 0),
                part(SpanName::Checkpoint, 10),
            ],
        }
    }

    #[test]
    fn a_ranks_parts_lie_below_its_own_span_and_that_below_the_steps_root() {
        let run = "file:///runs/a";
        let spans = rank_spans(run, Rank(1), &trace(TraceKind::Step(Step(7))));
        let root = SpanId::of_step(run, Generation(2), Step(7));
        let context = rank_context(run, Generation(2), Step(7), Rank(1), true);
        assert_eq!((spans[0].parent, spans[0].span), (Some(root), context.span));
        for part in &spans[1..] {
            assert_eq!(part.parent, Some(context.span));
        }
        assert!(spans.iter().all(|span| span.trace == context.trace));
        let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["rank", "decode", "backward", "checkpoint"]);
        let starts = spans
            .iter()
            .map(|span| span.start.as_micros() as i64 - 100_000_000);
        assert_eq!(starts.collect::<Vec<_>>(), [0, -5, 0, 10]);
    }

    #[test]
    fn a_checkpoint_lies_in_the_trace_of_its_step_and_below_its_rank() {
        let run = "file:///runs/a";
        let spans = rank_spans(run, Rank(1), &trace(TraceKind::Checkpoint(Step(7))));
        let step = rank_context(run, Generation(2), Step(7), Rank(1), true);
        assert_eq!(
            (spans[0].trace, spans[0].parent),
            (step.trace, Some(step.span))
        );
        let entry = rank_spans(run, Rank(1), &trace(TraceKind::Generation));
        assert_eq!(entry[0].trace, TraceId::of_generation(run, Generation(2)));
        assert_ne!(entry[0].span, spans[0].span);
    }
}
