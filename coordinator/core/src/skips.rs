//! Samples that could not be used, and when they are too many.

use std::collections::{BTreeMap, BTreeSet};
use twinspan_types::{Epoch, LaneId, Quarantine, Skip, Step};

/// How many skipped samples a failure names.
const NAMED: usize = 20;

/// Skips by where they were met, and the samples behind them.
#[derive(Debug)]
pub(crate) struct SkipLedger {
    max_fraction: f64,
    dataset_samples: u64,
    met: BTreeMap<(LaneId, Epoch, String, String), Step>,
    /// A sample that is met again in a later epoch counts once.
    samples: BTreeSet<(String, String)>,
    first: Vec<Skip>,
    /// Samples of the shards that were given up, and why they were, by URL.
    quarantined: BTreeMap<String, (u64, String)>,
}

impl SkipLedger {
    pub(crate) fn new(max_fraction: f64, dataset_samples: u64, known: Vec<Skip>) -> Self {
        let mut ledger = Self {
            max_fraction,
            dataset_samples,
            met: BTreeMap::new(),
            samples: BTreeSet::new(),
            first: Vec::new(),
            quarantined: BTreeMap::new(),
        };
        ledger.accept(known);
        ledger
    }

    /// Notes a shard none of whose samples will be used any more.
    pub(crate) fn quarantine(&mut self, shard: &Quarantine) {
        let Quarantine {
            url,
            samples,
            reason,
            ..
        } = shard;
        self.samples.retain(|(skipped, _)| skipped != url);
        self.quarantined
            .insert(url.clone(), (*samples, reason.clone()));
    }

    /// Forgets where skips were met beyond a step: those steps are redone.
    pub(crate) fn redo_from(&mut self, start: Step) {
        self.met.retain(|_, step| *step <= start);
    }

    /// Notes skips and returns those that were not known.
    pub(crate) fn accept(&mut self, skips: Vec<Skip>) -> Vec<Skip> {
        let mut fresh = Vec::new();
        for skip in skips {
            let sample = (skip.shard.clone(), skip.key.clone());
            let place = (skip.lane, skip.epoch, sample.0.clone(), sample.1.clone());
            if self.met.insert(place, skip.step).is_some() {
                continue;
            }
            if !self.quarantined.contains_key(&sample.0)
                && self.samples.insert(sample)
                && self.first.len() < NAMED
            {
                self.first.push(skip.clone());
            }
            fresh.push(skip);
        }
        fresh
    }

    /// Samples that could not be used.
    pub(crate) fn count(&self) -> u64 {
        let quarantined = self.quarantined.values().map(|(samples, _)| samples);
        self.samples.len() as u64 + quarantined.sum::<u64>()
    }

    /// Why the run cannot go on, if too many samples were skipped: their number and the first.
    pub(crate) fn excess(&self) -> Option<String> {
        let allowed = self.max_fraction * self.dataset_samples as f64;
        if self.count() as f64 <= allowed {
            return None;
        }
        let mut reason = format!(
            "{} of {} samples could not be used, more than data.max_skip_fraction {} allows; \
             put the shards right, or begin another run with a higher one. Among them:",
            self.count(),
            self.dataset_samples,
            self.max_fraction
        );
        for (shard, (samples, why)) in &self.quarantined {
            reason.push_str(&format!("\n  {shard}: all {samples} of it: {why}"));
        }
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
