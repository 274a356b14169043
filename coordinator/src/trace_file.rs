//! The run's sampled steps as `trace.json`: Chrome's trace event format, which
//! <https://ui.perfetto.dev> and `chrome://tracing` open. It needs no collector.

use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use twinspan_types::{Rank, RankSpan, RankTrace, SpanName, TraceKind};

/// Where a run keeps its sampled steps.
pub const TRACE: &str = "trace.json";

/// Spans that are kept at most, about 130 bytes each; the oldest go first.
const MOST_SPANS: usize = 40_000;

/// How the line of a span begins.
const SPAN: &str = "{\"ph\":\"X\"";

/// Where the spans of a rank are drawn: what goes on beside a step has a row of its own.
const ROWS: [(u32, &str); 4] = [
    (1, "step"),
    (2, "decode, ahead"),
    (3, "checkpoint upload"),
    (4, "generation"),
];

/// The sampled traces of a run's ranks, which the driver takes and the scribe writes.
#[derive(Debug, Clone, Default)]
pub struct TraceFile(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// What earlier coordinators wrote, an event a line.
    earlier: Vec<String>,
    traces: VecDeque<(Rank, RankTrace)>,
    spans: usize,
    changed: bool,
}

impl TraceFile {
    /// Goes on with what earlier coordinators wrote.
    pub fn go_on_with(&self, text: &str) {
        let lines = text.lines().map(|line| line.trim_end_matches(','));
        let spans = lines.filter(|line| line.starts_with(SPAN));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.earlier = spans.map(str::to_owned).collect();
    }

    /// Keeps what is to be shown in full.
    pub fn take(&self, rank: Rank, traces: &[RankTrace]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for trace in traces.iter().filter(|trace| trace.sampled.is_some()) {
            kept.spans += trace.spans.len() + 1;
            kept.traces.push_back((rank, trace.clone()));
            kept.changed = true;
        }
        while kept.spans > MOST_SPANS {
            let Some((_, oldest)) = kept.traces.pop_front() else {
                break;
            };
            kept.spans -= oldest.spans.len() + 1;
        }
    }

    /// The file's text, if anything was added since the last time.
    pub fn render_if_changed(&self) -> Option<String> {
        let (earlier, traces) = {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !std::mem::take(&mut kept.changed) {
                return None;
            }
            let room = MOST_SPANS.saturating_sub(kept.spans);
            let first = kept.earlier.len().saturating_sub(room);
            let traces: Vec<_> = kept.traces.iter().cloned().collect();
            (kept.earlier[first..].to_vec(), traces)
        };
        let mut events = Vec::new();
        let mut ranks: Vec<Rank> = traces.iter().map(|(rank, _)| *rank).collect();
        ranks.sort_unstable();
        ranks.dedup();
        for rank in ranks {
            events.push(name_event("process_name", rank, 0, &format!("rank {rank}")));
            events.extend(ROWS.map(|(row, name)| name_event("thread_name", rank, row, name)));
        }
        for (rank, trace) in &traces {
            events.push(whole(*rank, trace));
            let spans = trace.spans.iter();
            events.extend(spans.map(|span| part(*rank, trace, span)));
        }
        let lines = events.iter().map(Value::to_string);
        let lines: Vec<String> = earlier.into_iter().chain(lines).collect();
        Some(format!(
            "{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{}\n]}}\n",
            lines.join(",\n")
        ))
    }
}

fn name_event(what: &str, rank: Rank, row: u32, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": rank.0, "tid": row, "args": {"name": name}})
}

fn row_of(trace: &RankTrace, name: Option<SpanName>) -> u32 {
    match (trace.kind, name) {
        (_, Some(SpanName::Decode)) => 2,
        (TraceKind::Step(_), _) => 1,
        (TraceKind::Checkpoint(_), _) => 3,
        (TraceKind::Generation, _) => 4,
    }
}

/// The trace itself, around its parts.
fn whole(rank: Rank, trace: &RankTrace) -> Value {
    let name = match trace.kind {
        TraceKind::Step(step) => format!("step {step}"),
        TraceKind::Checkpoint(step) => format!("checkpoint of step {step}"),
        TraceKind::Generation => format!("into generation {}", trace.generation),
    };
    json!({
        "ph": "X", "name": name, "pid": rank.0, "tid": row_of(trace, None),
        "ts": micros(trace, 0), "dur": trace.duration_us,
        "args": {"generation": trace.generation.0, "sampled": trace.sampled},
    })
}

fn part(rank: Rank, trace: &RankTrace, span: &RankSpan) -> Value {
    let mut event = json!({
        "ph": "X", "name": span.name, "pid": rank.0, "tid": row_of(trace, Some(span.name)),
        "ts": micros(trace, span.offset_us), "dur": span.duration_us,
    });
    if let Some(detail) = &span.detail {
        event["args"] = json!({"detail": detail});
    }
    event
}

/// Microseconds since 1970.
fn micros(trace: &RankTrace, offset: i64) -> u64 {
    let started = u64::try_from(trace.started.as_micros()).unwrap_or(u64::MAX);
    started.saturating_add_signed(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use twinspan_types::{Generation, SampleReason, Step};

    fn trace(step: u64, sampled: Option<SampleReason>) -> RankTrace {
        let span = |name, offset_us| RankSpan {
            name,
            detail: None,
            offset_us,
            duration_us: 10,
        };
        RankTrace {
            kind: TraceKind::Step(Step(step)),
            generation: Generation(1),
            started: Duration::from_secs(1000 + step),
            duration_us: 30,
            sampled,
            spans: vec![span(SpanName::Decode, -5), span(SpanName::Backward, 20)],
        }
    }

    #[test]
    fn a_sampled_step_is_written_with_its_parts_at_their_times() {
        let file = TraceFile::default();
        file.take(Rank(1), &[trace(1, None)]);
        assert_eq!(file.render_if_changed(), None);
        file.take(
            Rank(1),
            &[trace(2, Some(SampleReason::Slow)), trace(3, None)],
        );
        let text = file.render_if_changed().expect("changed");
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        let events = parsed["traceEvents"].as_array().expect("events");
        let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        let of =
            |field: &str| -> Vec<Value> { spans.iter().map(|span| span[field].clone()).collect() };
        assert_eq!(of("name"), ["step 2", "decode", "backward"]);
        assert_eq!(of("ts"), [1_002_000_000_u64, 1_001_999_995, 1_002_000_020]);
        assert_eq!(of("tid"), [1, 2, 1]);
        assert_eq!(file.render_if_changed(), None, "nothing is new");
    }

    #[test]
    fn what_earlier_coordinators_wrote_stays() {
        let first = TraceFile::default();
        let sampled = Some(SampleReason::Interval);
        first.take(Rank(0), &[trace(1, sampled)]);
        let next = TraceFile::default();
        next.go_on_with(&first.render_if_changed().expect("changed"));
        assert_eq!(next.render_if_changed(), None);
        next.take(Rank(0), &[trace(2, sampled)]);
        let text = next.render_if_changed().expect("changed");
        let parsed: Value = serde_json::from_str(&text).expect("JSON");
        let events = parsed["traceEvents"].as_array().expect("events");
        for step in ["step 1", "step 2"] {
            assert_eq!(
                events.iter().filter(|event| event["name"] == step).count(),
                1
            );
        }
    }

    #[test]
    fn the_file_stays_bounded_and_keeps_the_newest() {
        let file = TraceFile::default();
        for step in 0..30_000 {
            file.take(Rank(0), &[trace(step, Some(SampleReason::Interval))]);
        }
        let text = file.render_if_changed().expect("changed");
        assert!(text.len() < MOST_SPANS * 160, "{} bytes", text.len());
        assert!(text.contains("step 29999") && !text.contains("\"step 1\""));
    }
}
