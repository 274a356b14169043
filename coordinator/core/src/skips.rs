//! Samples that could not be used, and when they are too many.

use std::collections::BTreeSet;
use twinspan_types::{Epoch, LaneId, Skip};

/// How many skipped samples a failure names.
const NAMED: usize = 20;

/// Skips by where they were met, and the samples behind them.
#[derive(Debug)]
pub(crate) struct SkipLedger {
    max_fraction: f64,
    dataset_samples: u64,
    met: BTreeSet<(LaneId, Epoch, String, String)>,
    /// A sample that is met again in a later epoch counts once.
    samples: BTreeSet<(String, String)>,
    first: Vec<Skip>,
}

impl SkipLedger {
    pub(crate) fn new(max_fraction: f64, dataset_samples: u64, known: Vec<Skip>) -> Self {
        let mut ledger = Self {
            max_fraction,
            dataset_samples,
            met: BTreeSet::new(),
            samples: BTreeSet::new(),
            first: Vec::new(),
        };
        ledger.accept(known);
        ledger
    }

    /// Notes skips and returns those that were not known.
    pub(crate) fn accept(&mut self, skips: Vec<Skip>) -> Vec<Skip> {
        let mut fresh = Vec::new();
        for skip in skips {
            let sample = (skip.shard.clone(), skip.key.clone());
            if !self
                .met
                .insert((skip.lane, skip.epoch, sample.0.clone(), sample.1.clone()))
            {
                continue;
            }
            if self.samples.insert(sample) && self.first.len() < NAMED {
                self.first.push(skip.clone());
            }
            fresh.push(skip);
        }
        fresh
    }

    /// Samples that could not be used.
    pub(crate) fn count(&self) -> u64 {
        self.samples.len() as u64
    }

    /// Why the run cannot go on, if too many samples were skipped: their number and the first.
    pub(crate) fn excess(&self) -> Option<String> {
        let allowed = self.max_fraction * self.dataset_samples as f64;
        if self.count() as f64 <= allowed {
            return None;
        }
        let mut reason = format!(
            "{} of {} samples could not be used, more than data.max_skip_fraction {} allows; \
             repair the shards or raise it. The first of them (all are in skipped.jsonl):",
            self.count(),
            self.dataset_samples,
            self.max_fraction
        );
        for skip in &self.first {
            let Skip {
                shard,
                key,
                reason: why,
                detail,
                ..
            } = skip;
            reason.push_str(&format!("\n  {shard}: {key}: {why:?}: {detail}"));
        }
        Some(reason)
    }
}
