//! Which rank the others wait for, and in what.
//!
//! All ranks end a step together, so its length tells nothing of who held it back. A rank's own
//! time does: what it spends outside of the collectives, where it waits for nobody. Times are
//! scaled to a rank with the mean number of lanes, as lanes cannot always be dealt evenly.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use twinspan_types::{Rank, RankTrace, SpanName, Step, TraceKind, World};

/// Steps that are looked at together.
const WINDOW: usize = 6;
/// Steps without which nothing is said.
const LEAST: usize = 4;
/// Steps of which a rank may tell before all others have.
const MOST_OPEN: usize = 64;
/// A straggler costs at least this share of a step.
const SHARE: f64 = 0.2;
/// It is behind in at least this share of the window's steps.
const PERSISTENCE: f64 = 0.75;

/// Microseconds of one rank in one step, by span.
type Times = BTreeMap<SpanName, f64>;

/// One step of all ranks.
#[derive(Debug)]
struct StepTimes {
    step: Step,
    /// The longest rank's step.
    length: f64,
    ranks: Vec<Times>,
}

/// A rank that holds the others up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Finding {
    pub(crate) rank: Rank,
    pub(crate) phase: SpanName,
    /// A step, beyond the ranks' median.
    pub(crate) excess: Duration,
    pub(crate) from: Step,
    pub(crate) through: Step,
}

/// What the ranks of one generation tell of their steps.
#[derive(Debug, Default)]
pub(crate) struct Stragglers {
    /// What each rank's times are multiplied with.
    scales: Vec<f64>,
    /// The generation's first step is another matter: nothing is warm.
    first: Step,
    open: BTreeMap<Step, Vec<Option<(f64, Times)>>>,
    window: VecDeque<StepTimes>,
}

impl Stragglers {
    /// Begins anew with a generation.
    pub(crate) fn of(world: &World) -> Self {
        let lanes = |rank| world.lanes.lanes_of(rank).count().max(1) as f64;
        let ranks: Vec<f64> = world.size().ranks().map(lanes).collect();
        let mean = ranks.iter().sum::<f64>() / ranks.len().max(1) as f64;
        Self {
            scales: ranks.iter().map(|own| mean / own).collect(),
            first: world.start.next(),
            ..Self::default()
        }
    }

    /// Takes what a rank tells; gives what is found whenever a step is told by all.
    pub(crate) fn take(&mut self, rank: Rank, trace: &RankTrace) -> Option<Option<Finding>> {
        let TraceKind::Step(step) = trace.kind else {
            return None;
        };
        let known = self.window.back().map_or(self.first, |last| last.step);
        let scale = *self.scales.get(rank.index())?;
        if step <= known {
            return None;
        }
        let mut times = Times::new();
        for span in &trace.spans {
            *times.entry(span.name).or_default() += span.duration_us as f64 * scale;
        }
        let size = self.scales.len();
        let ranks = self.open.entry(step).or_insert_with(|| vec![None; size]);
        ranks[rank.index()] = Some((trace.duration_us as f64, times));
        if ranks.iter().any(Option::is_none) {
            if self.open.len() > MOST_OPEN {
                self.open.pop_first();
            }
            return None;
        }
        let told: Vec<_> = self.open.remove(&step)?.into_iter().flatten().collect();
        // What is older and not whole by now will not be.
        self.open = self.open.split_off(&step);
        let length = told.iter().map(|(length, _)| *length).fold(0.0, f64::max);
        let ranks = told.into_iter().map(|(_, times)| times).collect();
        self.window.push_back(StepTimes {
            step,
            length,
            ranks,
        });
        if self.window.len() > WINDOW {
            self.window.pop_front();
        }
        Some(self.find())
    }

    /// The rank with the most time beyond the median's.
    fn find(&self) -> Option<Finding> {
        let (first, last) = (self.window.front()?, self.window.back()?);
        let steps = self.window.len();
        if steps < LEAST || self.scales.len() < 2 {
            return None;
        }
        let mut excess = vec![0.0; self.scales.len()];
        let mut behind = vec![0; self.scales.len()];
        for step in &self.window {
            let own: Vec<f64> = step.ranks.iter().map(own_time).collect();
            let median = median(&own);
            for (rank, own) in own.iter().enumerate() {
                excess[rank] += (own - median) / steps as f64;
                behind[rank] += usize::from(own - median > step.length * SHARE / 2.0);
            }
        }
        let length = self.window.iter().map(|step| step.length).sum::<f64>() / steps as f64;
        let (rank, most) = excess
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.total_cmp(b.1))?;
        let persists = behind[rank] as f64 >= steps as f64 * PERSISTENCE;
        (persists && *most >= length * SHARE).then(|| Finding {
            rank: Rank(u32::try_from(rank).unwrap_or(u32::MAX)),
            phase: self.phase_of(rank),
            excess: Duration::from_micros(*most as u64),
            from: first.step,
            through: last.step,
        })
    }

    /// In what a rank takes longer than the others.
    fn phase_of(&self, rank: usize) -> SpanName {
        let beyond = |name: SpanName| {
            let of = |times: &Times| times.get(&name).copied().unwrap_or_default();
            let steps = self.window.iter().map(|step| {
                let all: Vec<f64> = step.ranks.iter().map(of).collect();
                all[rank] - median(&all)
            });
            steps.sum::<f64>()
        };
        let own = SpanName::ALL.into_iter().filter(|name| is_own(*name));
        let most = own.max_by(|a, b| beyond(*a).total_cmp(&beyond(*b)));
        match most {
            // Samples come late where their pictures take long to decode, or to read.
            Some(SpanName::DataWait)
                if beyond(SpanName::Decode) * 2.0 >= beyond(SpanName::DataWait) =>
            {
                SpanName::Decode
            }
            most => most.unwrap_or(SpanName::DataWait),
        }
    }
}

fn is_own(name: SpanName) -> bool {
    !name.waits_for_peers() && !name.is_concurrent()
}

fn own_time(times: &Times) -> f64 {
    let own = times.iter().filter(|(name, _)| is_own(**name));
    own.map(|(_, time)| time).sum()
}

/// The lower one of two in the middle: of two ranks, what the faster one takes.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
        .get(sorted.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
