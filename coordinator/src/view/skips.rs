//! Samples that could not be used.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use twinspan_types::{Skip, SkipReason, Step};

/// Skips that are shown one by one, the newest.
const RECENT: usize = 50;
/// Steps whose skips can be taken back when the run returns to an earlier one.
const OPEN_STEPS: usize = 10_000;

/// Skips by reason.
type Counts = BTreeMap<&'static str, u64>;

/// The skips of the surviving lineage.
#[derive(Debug, Default)]
pub struct Skips {
    /// Of steps that no generation will start before.
    settled: Counts,
    open: BTreeMap<Step, Counts>,
    recent: VecDeque<Skip>,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct SkipsDocument<'v> {
    total: u64,
    by_reason: Counts,
    recent: Vec<&'v Skip>,
}

impl Skips {
    /// Takes skips in the order of their steps.
    pub fn add(&mut self, skips: &[Skip]) {
        for skip in skips {
            let counts = self.open.entry(skip.step).or_default();
            *counts.entry(name(skip.reason)).or_default() += 1;
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(skip.clone());
        }
        while self.open.len() > OPEN_STEPS {
            if let Some((_, counts)) = self.open.pop_first() {
                add(&mut self.settled, &counts);
            }
        }
    }

    /// A generation starts from a step: later ones are redone.
    pub fn restart(&mut self, start: Step) {
        self.open.retain(|step, _| *step <= start);
        self.recent.retain(|skip| skip.step <= start);
    }

    /// How many there are for each reason.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = self.settled.clone();
        self.open.values().for_each(|open| add(&mut counts, open));
        counts
    }

    /// What is shown.
    pub fn document(&self) -> SkipsDocument<'_> {
        let by_reason = self.counts();
        SkipsDocument {
            total: by_reason.values().sum(),
            by_reason,
            recent: self.recent.iter().collect(),
        }
    }
}

fn add(sum: &mut Counts, counts: &Counts) {
    for (reason, count) in counts {
        *sum.entry(reason).or_default() += count;
    }
}

/// As it stands in `skipped.jsonl`.
fn name(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::MissingImage => "missing_image",
        SkipReason::MissingCaption => "missing_caption",
        SkipReason::CorruptImage => "corrupt_image",
        SkipReason::UndecodableText => "undecodable_text",
        SkipReason::TruncatedShard => "truncated_shard",
        SkipReason::QuarantinedShard => "quarantined_shard",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{Epoch, LaneId};

    fn skip(step: u64, reason: SkipReason) -> Skip {
        Skip {
            step: Step(step),
            lane: LaneId(0),
            epoch: Epoch(0),
            shard: "file:///0.tar".to_owned(),
            key: step.to_string(),
            reason,
            detail: String::new(),
        }
    }

    #[test]
    fn a_reason_is_called_as_in_the_runs_files() {
        for reason in [
            SkipReason::MissingImage,
            SkipReason::MissingCaption,
            SkipReason::CorruptImage,
            SkipReason::UndecodableText,
            SkipReason::TruncatedShard,
            SkipReason::QuarantinedShard,
        ] {
            assert_eq!(serde_json::json!(reason), name(reason));
        }
    }

    #[test]
    fn redone_steps_skip_once_and_few_are_shown_one_by_one() {
        let mut skips = Skips::default();
        for step in 1..=60 {
            skips.add(&[skip(step, SkipReason::CorruptImage)]);
        }
        skips.add(&[skip(60, SkipReason::MissingCaption)]);
        skips.restart(Step(58));
        skips.add(&[skip(59, SkipReason::CorruptImage)]);
        let document = skips.document();
        assert_eq!(document.total, 59);
        assert_eq!(document.by_reason, [("corrupt_image", 59)].into());
        assert!(document.recent.len() <= RECENT);
        assert_eq!(document.recent.last().map(|skip| skip.step), Some(Step(59)));
    }

    #[test]
    fn many_steps_with_skips_are_counted_in_little_memory() {
        let mut skips = Skips::default();
        for step in 1..=20_000 {
            skips.add(&[skip(step, SkipReason::CorruptImage)]);
        }
        assert_eq!(skips.open.len(), OPEN_STEPS);
        assert_eq!(skips.document().total, 20_000);
    }
}
