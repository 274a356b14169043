//! Pairs of workers that cannot reach each other, and who is left out because of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use twinspan_types::WorkerId;

/// Failures in a row after which a pair is kept apart: one may be the echo of a loss elsewhere.
const SURE: u32 = 2;
/// How long a pair is kept apart at first; it doubles with each further failure.
const FIRST_REST: Duration = Duration::from_secs(10);
/// How long it is kept apart at the most.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Two workers, in the order of their names.
type Pair = (WorkerId, WorkerId);

/// What is known of links.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// Reported of the generation that has just ended: one of the two may be dead.
    reported: BTreeSet<Pair>,
    failed: BTreeMap<Pair, Failure>,
}

#[derive(Debug)]
struct Failure {
    /// How often in a row.
    times: u32,
    /// Until when the two are kept apart.
    until: Duration,
}

impl Pairs {
    /// One of two workers could not go on without the other.
    pub(crate) fn report(&mut self, one: &WorkerId, other: &WorkerId) {
        let pair = match one < other {
            true => (one.clone(), other.clone()),
            false => (other.clone(), one.clone()),
        };
        self.reported.insert(pair);
    }

    /// A generation is about to be formed of these: where both of a reported pair are there, it is
    /// the link between them that has failed.
    pub(crate) fn settle(&mut self, here: &BTreeSet<WorkerId>, now: Duration) {
        for pair in std::mem::take(&mut self.reported) {
            if !here.contains(&pair.0) || !here.contains(&pair.1) {
                continue;
            }
            let failure = self.failed.entry(pair).or_insert(Failure {
                times: 0,
                until: now,
            });
            failure.times += 1;
            let doublings = failure.times.saturating_sub(SURE);
            failure.until = now + (FIRST_REST * 2_u32.saturating_pow(doublings)).min(LONGEST_REST);
        }
    }

    /// Whether there is nobody to be kept apart from anybody.
    pub(crate) fn none_has_failed(&self) -> bool {
        self.failed.is_empty()
    }

    /// A generation has taken a step: whoever is in it together reaches each other.
    pub(crate) fn worked(&mut self, now: Duration) {
        self.failed
            .retain(|_, failure| failure.times >= SURE && failure.until > now);
    }

    /// Whom to leave out so that no failed pair is left: of each pair the one with more failed
    /// links, and of two that are alike the one whose name comes later.
    pub(crate) fn left_out(&self, of: &BTreeSet<WorkerId>, now: Duration) -> BTreeSet<WorkerId> {
        let apart = |(pair, failure): &(&Pair, &Failure)| {
            let both = of.contains(&pair.0) && of.contains(&pair.1);
            both && failure.times >= SURE && failure.until > now
        };
        let mut pairs: Vec<&Pair> = self
            .failed
            .iter()
            .filter(apart)
            .map(|(pair, _)| pair)
            .collect();
        let mut out = BTreeSet::new();
        while !pairs.is_empty() {
            let mut links: BTreeMap<&WorkerId, usize> = BTreeMap::new();
            for (one, other) in &pairs {
                *links.entry(one).or_default() += 1;
                *links.entry(other).or_default() += 1;
            }
            let most = links
                .into_iter()
                .max_by_key(|(worker, links)| (*links, *worker));
            let Some((worst, _)) = most else {
                break;
            };
            let worst = worst.clone();
            pairs.retain(|(one, other)| *one != worst && *other != worst);
            out.insert(worst);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(n: u32) -> WorkerId {
        WorkerId(format!("w{n}"))
    }

    fn workers(numbers: &[u32]) -> BTreeSet<WorkerId> {
        numbers.iter().copied().map(worker).collect()
    }

    fn fail(pairs: &mut Pairs, links: &[(u32, u32)], here: &BTreeSet<WorkerId>) {
        for (one, other) in links {
            pairs.report(&worker(*one), &worker(*other));
        }
        pairs.settle(here, Duration::ZERO);
    }

    #[test]
    fn the_largest_set_without_a_failed_pair_is_left() {
        let here = workers(&[1, 2, 3, 4]);
        let mut pairs = Pairs::default();
        let star = [(2, 1), (2, 3), (4, 2)];
        fail(&mut pairs, &star, &here);
        assert!(
            pairs.left_out(&here, Duration::ZERO).is_empty(),
            "once may be chance"
        );
        fail(&mut pairs, &star, &here);
        assert_eq!(pairs.left_out(&here, Duration::ZERO), workers(&[2]));
        assert!(pairs.left_out(&workers(&[2]), Duration::ZERO).is_empty());
    }

    #[test]
    fn a_link_with_a_dead_worker_is_no_failed_link() {
        let mut pairs = Pairs::default();
        for _ in 0..3 {
            fail(&mut pairs, &[(1, 2)], &workers(&[1, 3]));
        }
        assert!(
            pairs
                .left_out(&workers(&[1, 2, 3]), Duration::ZERO)
                .is_empty()
        );
    }

    #[test]
    fn a_pair_gets_another_chance_and_waits_longer_after_it() {
        let here = workers(&[1, 2]);
        let mut pairs = Pairs::default();
        for _ in 0..2 {
            fail(&mut pairs, &[(1, 2)], &here);
        }
        let out = |pairs: &Pairs, seconds| {
            !pairs
                .left_out(&here, Duration::from_secs(seconds))
                .is_empty()
        };
        assert!(out(&pairs, 9) && !out(&pairs, 10));
        fail(&mut pairs, &[(1, 2)], &here);
        assert!(out(&pairs, 19) && !out(&pairs, 20));
        pairs.worked(Duration::from_secs(20));
        fail(&mut pairs, &[(1, 2)], &here);
        assert!(!out(&pairs, 0), "it has worked in between");
    }
}
