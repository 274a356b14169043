//! Ranks of right answers, counted so that shares of the queries add up.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many queries have their right answer at each rank, from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankCounts(BTreeMap<u64, u64>);

/// One direction of retrieval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Mean rank of the right answer, from 1.
    pub mean_rank: f64,
    /// Median rank of the right answer, from 1; between two ranks the lower one, as in open_clip.
    pub median_rank: f64,
    /// Share of queries whose answer came first.
    #[serde(rename = "R@1")]
    pub at_1: f64,
    /// Share of queries whose answer was among the first five.
    #[serde(rename = "R@5")]
    pub at_5: f64,
    /// Share of queries whose answer was among the first ten.
    #[serde(rename = "R@10")]
    pub at_10: f64,
}

impl RankCounts {
    /// Counts a query before whose answer so many others came.
    pub fn count(&mut self, rank: usize) {
        *self.0.entry(rank as u64).or_default() += 1;
    }

    /// Adds the counts of other queries.
    pub fn merge(&mut self, other: &Self) {
        for (rank, queries) in &other.0 {
            *self.0.entry(*rank).or_default() += queries;
        }
    }

    /// Queries that were counted.
    #[must_use]
    pub fn queries(&self) -> u64 {
        self.0.values().sum()
    }

    /// open_clip's metrics of these ranks; zeros where there are none.
    #[must_use]
    pub fn recall(&self) -> Recall {
        let queries = self.queries().max(1) as f64;
        let sum: u64 = self.0.iter().map(|(rank, count)| (rank + 1) * count).sum();
        let within =
            |k: u64| self.0.range(..k).map(|(_, count)| count).sum::<u64>() as f64 / queries;
        Recall {
            mean_rank: sum as f64 / queries,
            median_rank: self.median().map_or(0.0, |rank| (rank + 1) as f64),
            at_1: within(1),
            at_5: within(5),
            at_10: within(10),
        }
    }

    fn median(&self) -> Option<u64> {
        let last = self.queries().checked_sub(1)?;
        Some((self.nth(last / 2)? + self.nth(last.div_ceil(2))?) / 2)
    }

    /// The rank of the `n`-th query by rank, from 0.
    fn nth(&self, n: u64) -> Option<u64> {
        let mut before = 0;
        let mut ranks = self.0.iter();
        let found = ranks.find(|(_, count)| {
            before += **count;
            before > n
        });
        found.map(|(rank, _)| *rank)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ranks: &[usize]) -> RankCounts {
        let mut counts = RankCounts::default();
        ranks.iter().for_each(|rank| counts.count(*rank));
        counts
    }

    #[test]
    fn the_metrics_are_those_of_open_clip() {
        // get_clip_metrics: mean + 1, floor of numpy's median + 1, share below k.
        let recall = counts(&[7, 0, 0, 4]).recall();
        assert_eq!((recall.mean_rank, recall.median_rank), (3.75, 3.0));
        assert_eq!((recall.at_1, recall.at_5, recall.at_10), (0.5, 0.75, 1.0));
        assert_eq!(counts(&[0, 3, 4, 9]).recall().median_rank, 4.0);
        assert_eq!(counts(&[2, 9, 5]).recall().median_rank, 6.0);
        assert_eq!(RankCounts::default().recall().median_rank, 0.0);
    }

    #[test]
    fn counts_of_shares_are_those_of_all_queries() {
        let mut sum = counts(&[7, 0]);
        sum.merge(&counts(&[0, 4]));
        assert_eq!(sum, counts(&[7, 0, 0, 4]));
        let json = serde_json::to_string(&sum).expect("JSON");
        assert_eq!(
            serde_json::from_str::<RankCounts>(&json).expect("counts"),
            sum
        );
    }
}
