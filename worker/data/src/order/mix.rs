//! Which source gives a lane's next sample.

use crate::random::Keyed;
use twinspan_types::{LaneId, SourceId};

/// Draws sources in proportion to their weights, each draw by (seed, lane, number) alone.
#[derive(Debug, Clone)]
pub struct Mix {
    seed: u64,
    /// For every source but the last, the share of it and those before it.
    bounds: Vec<f64>,
}

impl Mix {
    /// A mix of sources with these weights, all positive.
    #[must_use]
    pub fn new(seed: u64, weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mut below = 0.0;
        let mut bounds: Vec<f64> = weights
            .iter()
            .map(|weight| {
                below += weight / total;
                below
            })
            .collect();
        bounds.pop();
        Self { seed, bounds }
    }

    /// The source of a lane's `draw`-th good sample, counted from the run's beginning.
    #[must_use]
    pub fn source(&self, lane: LaneId, draw: u64) -> SourceId {
        if self.bounds.is_empty() {
            return SourceId(0);
        }
        let key = [self.seed, u64::from(lane.0), draw];
        let place = Keyed::new("mix", &key).uniform(0.0, 1.0);
        let source = self.bounds.partition_point(|bound| *bound <= place);
        SourceId(u32::try_from(source).unwrap_or(u32::MAX))
    }

    /// The sources of the samples that a lane gives to a step, in their order in the batch.
    pub fn sources(
        &self,
        lane: LaneId,
        step: twinspan_types::Step,
        samples_per_lane: u32,
    ) -> impl Iterator<Item = SourceId> {
        let first = step.0.saturating_sub(1) * u64::from(samples_per_lane);
        (first..first + u64::from(samples_per_lane)).map(move |draw| self.source(lane, draw))
    }
}
