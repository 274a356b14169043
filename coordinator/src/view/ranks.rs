//! How each rank spends its steps, and who it is.

use super::world::Seats;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use twinspan_types::{
    Phase, Rank, RankStatus, RankTrace, RunStatus, SpanName, TraceKind, WorkerId,
};

/// Steps that a mean is taken over.
const WINDOW: usize = 20;
/// Spans that there are.
const NAMES: usize = SpanName::ALL.len();

/// The ranks of the generation at work.
#[derive(Debug, Default)]
pub struct Ranks(Vec<RankTimes>);

/// One rank.
#[derive(Debug)]
struct RankTimes {
    worker: WorkerId,
    window: VecDeque<StepTimes>,
    /// Microseconds since the worker joined, by span.
    totals: [u64; NAMES],
}

/// Microseconds of one step.
#[derive(Debug, Default, Clone, Copy)]
struct StepTimes {
    length: u32,
    spans: [u32; NAMES],
}

/// The document.
#[derive(Debug, Serialize)]
pub struct RanksDocument<'v> {
    ranks: Vec<RankDocument<'v>>,
}

#[derive(Debug, Serialize)]
struct RankDocument<'v> {
    /// None for a worker that has no place in the generation.
    rank: Option<u32>,
    worker: &'v str,
    host: &'v str,
    pid: u32,
    address: &'v str,
    device: &'v str,
    phase: Phase,
    step: u64,
    heartbeat_age_seconds: f64,
    lease_age_seconds: Option<f64>,
    memory_bytes: Option<u64>,
    device_memory_bytes: Option<u64>,
    wire_bytes: WireBytes,
    draining: bool,
    lanes: &'v [u32],
    step_seconds: Option<f64>,
    phases: BTreeMap<SpanName, f64>,
}

#[derive(Debug, Serialize)]
struct WireBytes {
    sent: u64,
    received: u64,
}

impl Ranks {
    /// A generation has these workers, by rank. Means begin anew; totals are the workers' own.
    pub fn seat(&mut self, workers: impl Iterator<Item = WorkerId>) {
        let mut before: BTreeMap<WorkerId, [u64; NAMES]> = std::mem::take(&mut self.0)
            .into_iter()
            .map(|rank| (rank.worker, rank.totals))
            .collect();
        let seated = workers.map(|worker| RankTimes {
            totals: before.remove(&worker).unwrap_or_default(),
            worker,
            window: VecDeque::new(),
        });
        self.0 = seated.collect();
    }

    /// Takes how a rank spent its time.
    pub fn take(&mut self, rank: Rank, trace: &RankTrace) {
        let Some(times) = self.0.get_mut(rank.index()) else {
            return;
        };
        let microseconds = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let mut step = StepTimes {
            length: microseconds(trace.duration_us),
            ..StepTimes::default()
        };
        for span in &trace.spans {
            let place = span.name as usize;
            times.totals[place] = times.totals[place].saturating_add(span.duration_us);
            step.spans[place] = step.spans[place].saturating_add(microseconds(span.duration_us));
        }
        if matches!(trace.kind, TraceKind::Step(_)) {
            if times.window.len() == WINDOW {
                times.window.pop_front();
            }
            times.window.push_back(step);
        }
    }

    /// Seconds that a rank has spent since its worker joined, by span; only those that occurred.
    pub fn totals(&self, rank: Rank) -> impl Iterator<Item = (SpanName, f64)> + '_ {
        let totals = self.0.get(rank.index()).map(|times| &times.totals);
        let totals = SpanName::ALL.into_iter().zip(totals.into_iter().flatten());
        let occurred = totals.filter(|(_, total)| **total > 0);
        occurred.map(|(name, total)| (name, *total as f64 / 1e6))
    }

    /// What is shown.
    pub fn document<'v>(&'v self, status: &'v RunStatus, seats: &'v Seats) -> RanksDocument<'v> {
        let ranks = status.ranks.iter();
        RanksDocument {
            ranks: ranks.map(|rank| self.rank(rank, seats)).collect(),
        }
    }

    fn rank<'v>(&'v self, status: &'v RankStatus, seats: &'v Seats) -> RankDocument<'v> {
        let rank = seats.rank_of(status);
        let times = rank.and_then(|rank| self.0.get(rank.index()));
        let vitals = &status.vitals;
        RankDocument {
            rank: rank.map(Rank::get),
            worker: &status.worker.0,
            host: &status.host,
            pid: status.pid,
            address: &status.address,
            device: &status.device,
            phase: status.phase,
            step: status.step.0,
            heartbeat_age_seconds: status.heartbeat_age.as_secs_f64(),
            lease_age_seconds: status.lease_age.map(|age| age.as_secs_f64()),
            memory_bytes: Some(vitals.memory_bytes).filter(|bytes| *bytes > 0),
            device_memory_bytes: vitals.device_memory_bytes,
            wire_bytes: WireBytes {
                sent: vitals.sent_bytes,
                received: vitals.received_bytes,
            },
            draining: status.draining,
            lanes: rank.map(|rank| seats.lanes_of(rank)).unwrap_or_default(),
            step_seconds: times.and_then(RankTimes::step_seconds),
            phases: times.map(RankTimes::means).unwrap_or_default(),
        }
    }
}

impl RankTimes {
    fn mean(&self, value: impl Fn(&StepTimes) -> u32) -> Option<f64> {
        let sum: u64 = self.window.iter().map(|step| u64::from(value(step))).sum();
        let steps = self.window.len();
        (steps > 0).then(|| sum as f64 / steps as f64 / 1e6)
    }

    fn step_seconds(&self) -> Option<f64> {
        self.mean(|step| step.length)
    }

    fn means(&self) -> BTreeMap<SpanName, f64> {
        let means = SpanName::ALL.into_iter().filter_map(|name| {
            let mean = self.mean(|step| step.spans[name as usize])?;
            (mean > 0.0).then_some((name, mean))
        });
        means.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use twinspan_types::{Generation, RankSpan, Step};

    fn trace(kind: TraceKind, name: SpanName, duration_us: u64) -> RankTrace {
        RankTrace {
            kind,
            generation: Generation(1),
            started: Duration::ZERO,
            duration_us: 1_000_000,
            sampled: None,
            spans: vec![RankSpan {
                name,
                detail: None,
                offset_us: 0,
                duration_us,
            }],
        }
    }

    fn workers(names: &[&str]) -> impl Iterator<Item = WorkerId> {
        let names: Vec<_> = names
            .iter()
            .map(|name| WorkerId(name.to_string()))
            .collect();
        names.into_iter()
    }

    #[test]
    fn a_mean_is_of_the_last_steps_and_a_total_of_all() {
        let mut ranks = Ranks::default();
        ranks.seat(workers(&["a"]));
        for step in 1..=30 {
            let duration = if step <= 10 { 900_000 } else { 500_000 };
            let kind = TraceKind::Step(Step(step));
            ranks.take(Rank(0), &trace(kind, SpanName::Backward, duration));
        }
        assert_eq!(ranks.0[0].means(), [(SpanName::Backward, 0.5)].into());
        assert_eq!(ranks.0[0].step_seconds(), Some(1.0));
        let totals: Vec<_> = ranks.totals(Rank(0)).collect();
        assert_eq!(totals, [(SpanName::Backward, 19.0)]);
    }

    #[test]
    fn the_way_into_a_generation_is_no_step_and_counts() {
        let mut ranks = Ranks::default();
        ranks.seat(workers(&["a"]));
        ranks.take(
            Rank(0),
            &trace(TraceKind::Generation, SpanName::Heal, 250_000),
        );
        ranks.take(Rank(7), &trace(TraceKind::Generation, SpanName::Heal, 1));
        assert!(ranks.0[0].means().is_empty());
        assert_eq!(ranks.totals(Rank(0)).next(), Some((SpanName::Heal, 0.25)));
    }

    #[test]
    fn a_worker_keeps_its_totals_under_another_rank() {
        let mut ranks = Ranks::default();
        ranks.seat(workers(&["a", "b"]));
        let kind = TraceKind::Step(Step(1));
        ranks.take(Rank(1), &trace(kind, SpanName::Loss, 500_000));
        ranks.seat(workers(&["b", "c"]));
        assert_eq!(ranks.totals(Rank(0)).next(), Some((SpanName::Loss, 0.5)));
        assert_eq!(ranks.totals(Rank(1)).count(), 0);
        assert!(ranks.0[0].means().is_empty());
    }
}
