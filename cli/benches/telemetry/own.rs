//! What a rank's telemetry takes by itself: its clock in every step, and the spans of a traced one.

use super::Result;
use super::collector::Collector;
use std::hint::black_box;
use std::time::{Duration, Instant};
use twinspan_telemetry::{Exporter, rank_spans};
use twinspan_types::{Generation, Rank, RankTrace, SampleReason, SpanName, Step, TraceKind};
use twinspan_worker::Clock;

const STEPS: u32 = 20_000;

/// Mean times of a step that is not traced, and of what a traced one takes beyond that.
pub fn measure(collector: &Collector) -> Result<(Duration, Duration)> {
    let begun = Instant::now();
    let mut last = None;
    for step in 0..STEPS {
        last = Some(black_box(step_of(step)));
    }
    let step = begun.elapsed() / STEPS;
    let trace = last.ok_or("no step")?;
    let endpoint = collector.endpoint();
    let env = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| endpoint.clone());
    let exporter = Exporter::from_env("twinspan-worker", &Vec::new(), &env)?;
    let begun = Instant::now();
    for _ in 0..STEPS {
        for span in rank_spans("file:///runs/bench", Rank(0), &trace) {
            exporter.export(span);
        }
    }
    Ok((step, begun.elapsed() / STEPS))
}

/// A step's spans, as a ViT has them.
fn step_of(step: u32) -> RankTrace {
    let mut clock = Clock::new(None);
    for name in [
        SpanName::DataWait,
        SpanName::ImageForward,
        SpanName::TextForward,
        SpanName::AllGather,
        SpanName::Loss,
        SpanName::AllGather,
        SpanName::Loss,
        SpanName::Backward,
        SpanName::AllReduce,
        SpanName::Optimizer,
        SpanName::Commit,
    ] {
        clock.enter(name);
    }
    let kind = TraceKind::Step(Step(step.into()));
    clock.lap(kind, Generation(1), Some(SampleReason::Interval))
}
