//! Follows a rank through its time: heartbeats learn in which phase it is, and its trace how long
//! each part took.

mod pace;

pub(crate) use pace::Pace;

use std::time::{Duration, Instant};
use twinspan_data::BatchTimes;
use twinspan_session::Session;
use twinspan_telemetry::since_1970;
use twinspan_types::{Generation, Phase, RankSpan, RankTrace, SampleReason, SpanName, TraceKind};

/// A rank's time from some moment on, part after part without a gap.
pub struct Clock<'s> {
    /// Where heartbeats learn of phases; none in tests without a coordinator.
    session: Option<&'s Session>,
    started: Instant,
    started_at: Duration,
    open: Option<Open>,
    spans: Vec<RankSpan>,
}

/// A part that is under way.
struct Open {
    name: SpanName,
    detail: Option<String>,
    since: Instant,
}

/// The phase that heartbeats carry during a part; none where whatever follows says it.
fn phase_of(name: SpanName) -> Option<Phase> {
    match name {
        SpanName::DataWait => Some(Phase::DataWait),
        SpanName::ImageForward
        | SpanName::TextForward
        | SpanName::Loss
        | SpanName::Backward
        | SpanName::Optimizer => Some(Phase::Compute),
        SpanName::AllGather | SpanName::AllReduce => Some(Phase::Collective),
        SpanName::Checkpoint => Some(Phase::Checkpoint),
        SpanName::Join => Some(Phase::Joining),
        SpanName::Connect | SpanName::Heal => Some(Phase::Healing),
        SpanName::Decode | SpanName::Commit | SpanName::FirstStep => None,
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl<'s> Clock<'s> {
    /// A clock that starts now.
    #[must_use]
    pub fn new(session: Option<&'s Session>) -> Self {
        Self {
            session,
            started: Instant::now(),
            started_at: since_1970(),
            open: None,
            spans: Vec::new(),
        }
    }

    /// Whatever was done ends, and this begins.
    pub fn enter(&mut self, name: SpanName) {
        self.open(name, None);
    }

    /// As [`Clock::enter`], of a file.
    pub(crate) fn enter_file(&mut self, name: SpanName, file: &str) {
        self.open(name, Some(file.to_owned()));
    }

    fn open(&mut self, name: SpanName, detail: Option<String>) {
        let now = Instant::now();
        // The first part begins with the clock: nothing lies between.
        let since = match self.open.is_none() && self.spans.is_empty() {
            true => self.started,
            false => now,
        };
        self.close(now);
        self.open = Some(Open {
            name,
            detail,
            since,
        });
        if let (Some(session), Some(phase)) = (self.session, phase_of(name)) {
            session.set_phase(phase);
        }
    }

    /// Since the clock was started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes when the step's samples were decoded, by `threads` threads beside other steps.
    pub(crate) fn decoded(&mut self, times: BatchTimes, threads: usize) {
        let Some(began) = times.began else {
            return;
        };
        let offset = match began.checked_duration_since(self.started) {
            Some(after) => micros(after).cast_signed(),
            None => -micros(self.started - began).cast_signed(),
        };
        self.spans.push(RankSpan {
            name: SpanName::Decode,
            detail: None,
            offset_us: offset,
            duration_us: micros(times.busy) / threads.max(1) as u64,
        });
    }

    fn close(&mut self, now: Instant) {
        if let Some(open) = self.open.take() {
            let Open {
                name,
                detail,
                since,
            } = open;
            self.spans.push(RankSpan {
                name,
                detail,
                offset_us: micros(since - self.started).cast_signed(),
                duration_us: micros(now - since),
            });
        }
    }

    /// The trace of the time up to now; the next one starts now.
    pub fn lap(
        &mut self,
        kind: TraceKind,
        generation: Generation,
        sampled: Option<SampleReason>,
    ) -> RankTrace {
        let now = Instant::now();
        self.close(now);
        let trace = RankTrace {
            kind,
            generation,
            started: self.started_at,
            duration_us: micros(now - self.started),
            sampled,
            spans: std::mem::take(&mut self.spans),
        };
        (self.started, self.started_at) = (now, since_1970());
        trace
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::Step;

    #[test]
    fn the_parts_of_a_step_follow_each_other_without_a_gap_and_cover_it() {
        let mut clock = Clock::new(None);
        for name in [SpanName::DataWait, SpanName::Backward, SpanName::Commit] {
            clock.enter(name);
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
        let kind = TraceKind::Step(Step(1));
        let trace = clock.lap(kind, Generation(1), None);
        let mut end = 0;
        for span in &trace.spans {
            // Whole microseconds.
            assert!(span.offset_us - end <= 1, "{trace:?}");
            end = span.offset_us + span.duration_us.cast_signed();
        }
        assert!(trace.duration_us.cast_signed() - end <= 1, "{trace:?}");
        assert!(clock.lap(kind, Generation(1), None).spans.is_empty());
    }

    #[test]
    fn what_was_decoded_ahead_lies_before_the_step() {
        let began = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        let mut clock = Clock::new(None);
        let busy = Duration::from_millis(8);
        let times = BatchTimes {
            began: Some(began),
            busy,
        };
        clock.decoded(times, 2);
        let trace = clock.lap(TraceKind::Generation, Generation(1), None);
        assert!(trace.spans[0].offset_us <= -2000);
        assert_eq!(trace.spans[0].duration_us, 4000);
        assert_eq!(trace.sequential().count(), 0);
    }
}
