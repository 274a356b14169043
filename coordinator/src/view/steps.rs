//! The steps that are shown in full: what every rank did when.

use super::world::Seats;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use twinspan_telemetry::TraceId;
use twinspan_types::{
    Generation, Rank, RankSpan, RankTrace, SampleReason, SpanName, Step, TraceKind,
};

/// Steps that are kept.
const MOST: usize = 32;
/// Spans of one rank's step that are kept: a step has a dozen of them, more where it goes through
/// the towers in parts.
const SPANS: usize = 256;

/// The steps that were told last, in the order in which they were.
#[derive(Debug)]
pub struct Steps {
    run: String,
    steps: VecDeque<Sampled>,
}

/// One step, as far as ranks have told of it.
#[derive(Debug)]
struct Sampled {
    step: Step,
    generation: Generation,
    reason: SampleReason,
    ranks: BTreeMap<Rank, RankStep>,
}

#[derive(Debug)]
struct RankStep {
    host: Arc<str>,
    /// Since 1970 by the rank's clock.
    started: Duration,
    duration_us: u64,
    spans: Vec<Span>,
}

/// A span in as few bytes as it can be kept in: there are many.
#[derive(Debug, Clone, Copy)]
struct Span {
    name: SpanName,
    offset_us: i32,
    duration_us: u32,
}

/// The document of all.
#[derive(Debug, Serialize)]
pub struct StepsDocument {
    steps: Vec<Line>,
}

/// A step without its ranks.
#[derive(Debug, Serialize)]
struct Line {
    step: u64,
    generation: u64,
    trace_id: String,
    unix_seconds: f64,
    seconds: f64,
    reason: SampleReason,
}

/// The document of one step.
#[derive(Debug, Serialize)]
pub struct StepDocument {
    #[serde(flatten)]
    line: Line,
    ranks: Vec<RankStepDocument>,
}

#[derive(Debug, Serialize)]
struct RankStepDocument {
    rank: u32,
    host: Arc<str>,
    start: f64,
    seconds: f64,
    spans: Vec<SpanDocument>,
}

#[derive(Debug, Serialize)]
struct SpanDocument {
    name: SpanName,
    start: f64,
    seconds: f64,
}

impl Steps {
    /// Of a run with this name.
    pub fn of(run: &str) -> Self {
        Self {
            run: run.to_owned(),
            steps: VecDeque::new(),
        }
    }

    /// Takes what a rank tells of a step, if the step is one to be shown.
    pub fn take(&mut self, rank: Rank, trace: &RankTrace, seats: &Seats) {
        let TraceKind::Step(step) = trace.kind else {
            return;
        };
        let of = (trace.generation, step);
        let known = self.steps.iter_mut().rev();
        let known = known
            .into_iter()
            .find(|one| (one.generation, one.step) == of);
        let spans = trace.spans.iter().take(SPANS).map(Span::from);
        let told = RankStep {
            host: seats.host(rank),
            started: trace.started,
            duration_us: trace.duration_us,
            spans: spans.collect(),
        };
        match (known, trace.sampled) {
            (Some(known), _) => {
                known.ranks.insert(rank, told);
            }
            (None, Some(reason)) => {
                if self.steps.len() == MOST {
                    self.steps.pop_front();
                }
                self.steps.push_back(Sampled {
                    step,
                    generation: trace.generation,
                    reason,
                    ranks: [(rank, told)].into(),
                });
            }
            (None, None) => {}
        }
    }

    /// All of them, without their ranks.
    pub fn document(&self) -> StepsDocument {
        let lines = self.steps.iter().map(|one| self.line(one));
        StepsDocument {
            steps: lines.collect(),
        }
    }

    /// The latest generation's of this number.
    pub fn step(&self, step: Step) -> Option<StepDocument> {
        let steps = self.steps.iter().filter(|one| one.step == step);
        let one = steps.max_by_key(|one| one.generation)?;
        let first = one.first();
        let ranks = one
            .ranks
            .iter()
            .map(|(rank, told)| told.document(*rank, first));
        Some(StepDocument {
            line: self.line(one),
            ranks: ranks.collect(),
        })
    }

    fn line(&self, one: &Sampled) -> Line {
        let longest = one.ranks.values().map(|rank| rank.duration_us).max();
        Line {
            step: one.step.0,
            generation: one.generation.0,
            trace_id: TraceId::of_step(&self.run, one.step).to_string(),
            unix_seconds: one.first().as_secs_f64(),
            seconds: longest.unwrap_or_default() as f64 / 1e6,
            reason: one.reason,
        }
    }
}

impl Sampled {
    /// When the earliest rank began.
    fn first(&self) -> Duration {
        let starts = self.ranks.values().map(|rank| rank.started);
        starts.min().unwrap_or_default()
    }
}

impl RankStep {
    fn document(&self, rank: Rank, first: Duration) -> RankStepDocument {
        let start = self.started.saturating_sub(first).as_secs_f64();
        let spans = self.spans.iter().map(|span| SpanDocument {
            name: span.name,
            // To the microsecond, which a sum of two floats would not be.
            start: ((start * 1e6).round() + f64::from(span.offset_us)) / 1e6,
            seconds: f64::from(span.duration_us) / 1e6,
        });
        RankStepDocument {
            rank: rank.0,
            host: Arc::clone(&self.host),
            start,
            seconds: self.duration_us as f64 / 1e6,
            spans: spans.collect(),
        }
    }
}

impl From<&RankSpan> for Span {
    fn from(span: &RankSpan) -> Self {
        let within = i64::from(i32::MIN)..=i64::from(i32::MAX);
        let offset = span.offset_us.clamp(*within.start(), *within.end());
        Self {
            name: span.name,
            offset_us: i32::try_from(offset).unwrap_or_default(),
            duration_us: u32::try_from(span.duration_us).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(step: u64, generation: u64, sampled: Option<SampleReason>) -> RankTrace {
        let span = |name, offset_us, duration_us| RankSpan {
            name,
            detail: None,
            offset_us,
            duration_us,
        };
        RankTrace {
            kind: TraceKind::Step(Step(step)),
            generation: Generation(generation),
            started: Duration::from_secs(100 + step),
            duration_us: 130_000,
            sampled,
            spans: vec![
                span(SpanName::Decode, -40_000, 30_000),
                span(SpanName::Backward, 20_000, 50_000),
            ],
        }
    }

    fn told(traces: &[(u32, RankTrace)]) -> Steps {
        let mut steps = Steps::of("r");
        for (rank, trace) in traces {
            steps.take(Rank(*rank), trace, &Seats::default());
        }
        steps
    }

    #[test]
    fn a_step_is_shown_from_its_first_rank_on_and_fills_up() {
        let sampled = Some(SampleReason::Interval);
        let mut late = trace(7, 1, None);
        late.started += Duration::from_millis(20);
        late.duration_us = 150_000;
        let steps = told(&[(1, trace(7, 1, sampled)), (0, trace(8, 1, None)), (0, late)]);
        let shown = serde_json::json!(steps.step(Step(7)).expect("sampled"));
        assert_eq!(shown["reason"], "interval");
        assert_eq!(shown["seconds"], 0.15);
        assert_eq!(shown["unix_seconds"], 107.0);
        assert_eq!(shown["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!(shown["ranks"][0]["start"], 0.02);
        assert_eq!(shown["ranks"][1]["spans"][0]["name"], "decode");
        assert_eq!(shown["ranks"][1]["spans"][0]["start"], -0.04);
        assert_eq!(shown["ranks"][0]["spans"][1]["start"], 0.04);
        assert!(steps.step(Step(8)).is_none());
    }

    #[test]
    fn of_a_redone_step_the_latest_generation_is_shown_and_old_steps_go() {
        let first = Some(SampleReason::First);
        let redone = [(0, trace(3, 1, first)), (0, trace(3, 2, first))];
        let later = (4..=33).map(|step| (0, trace(step, 2, first)));
        let all: Vec<_> = redone.into_iter().chain(later).collect();
        let steps = told(&all);
        assert_eq!(steps.document().steps.len(), MOST);
        let shown = steps.step(Step(3)).expect("sampled");
        assert_eq!(shown.line.generation, 2);
        let steps = told(&[&all[..], &[(0, trace(34, 2, first))]].concat());
        assert_eq!(steps.document().steps[0].generation, 2);
        assert_eq!(steps.document().steps.len(), MOST);
    }
}
