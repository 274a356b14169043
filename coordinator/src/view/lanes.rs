//! How far each lane is in its piece of the dataset, and what of each shard was passed.

use super::world::Seats;
use serde::Serialize;
use std::collections::BTreeMap;
use twinspan_data::{EpochPlan, Order, Plan};
use twinspan_types::{
    Cursor, Epoch, Index, IndexError, LaneId, Quarantine, ShardId, SourceId, StreamId,
};

/// Shards that are shown at most.
const MOST_SHARDS: usize = 2000;

/// The lanes and the shards.
#[derive(Debug)]
pub struct Lanes {
    index: Index,
    plan: Plan,
    lanes: u32,
    /// Every stream's position, by stream.
    cursors: Vec<Cursor>,
    quarantined: BTreeMap<ShardId, String>,
    /// Each source's present epoch: making one takes time that grows with the shards.
    epochs: Vec<EpochPlan>,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct LanesDocument<'v> {
    samples: u64,
    sources: u32,
    /// Of all shards, those shown and those that there are too many of.
    shard_count: usize,
    shards: Vec<ShardDocument<'v>>,
    lanes: Vec<LaneDocument>,
}

#[derive(Debug, Serialize)]
struct ShardDocument<'v> {
    shard: u32,
    url: &'v str,
    samples: u64,
    passed: u64,
    quarantined: Option<&'v str>,
}

#[derive(Debug, Serialize)]
struct LaneDocument {
    lane: u32,
    rank: Option<u32>,
    epoch: u64,
    passed: u64,
    of: u64,
}

impl Lanes {
    /// At the beginning of a dataset.
    ///
    /// # Errors
    /// It holds too few samples for its lanes.
    pub fn new(index: Index, order: Order) -> Result<Self, IndexError> {
        let plan = Plan::new(&index, order)?;
        let streams = order.lanes.saturating_mul(index.source_count());
        let epochs = index.source_ids();
        let epochs = epochs.map(|source| plan.source(source).epoch(Epoch(0)));
        Ok(Self {
            epochs: epochs.collect(),
            plan,
            lanes: order.lanes,
            cursors: vec![Cursor::default(); streams as usize],
            quarantined: BTreeMap::new(),
            index,
        })
    }

    /// The lanes are at these positions, by stream.
    pub fn moved(&mut self, cursors: &[Cursor]) {
        if cursors.len() == self.cursors.len() {
            self.cursors.copy_from_slice(cursors);
        }
    }

    /// A shard was given up.
    pub fn quarantine(&mut self, quarantine: &Quarantine) {
        let Quarantine { shard, reason, .. } = quarantine;
        self.quarantined.insert(*shard, reason.clone());
    }

    /// Shards that were given up.
    pub fn quarantined(&self) -> usize {
        self.quarantined.len()
    }

    /// How many samples each lane is behind the furthest one.
    pub fn lags(&self) -> Vec<u64> {
        let streams = |lane| self.plan.streams(lane);
        let first = |source: SourceId| {
            let epochs = self.lane_ids().map(|lane| {
                let stream = self.index.stream(lane, source);
                self.cursors[stream.index()].epoch
            });
            epochs.min().unwrap_or_default()
        };
        let first: Vec<Epoch> = self.index.source_ids().map(first).collect();
        let place = |lane| {
            let places = streams(lane).map(|(stream, source): (StreamId, SourceId)| {
                let Cursor { epoch, passed } = self.cursors[stream.index()];
                let whole = (first[source.index()].0..epoch.0).map(Epoch);
                let plan = self.plan.source(source);
                whole
                    .map(|epoch| plan.lane_length(epoch, lane))
                    .sum::<u64>()
                    + passed
            });
            places.sum()
        };
        let places: Vec<u64> = self.lane_ids().map(place).collect();
        let furthest = places.iter().max().copied().unwrap_or_default();
        places.into_iter().map(|place| furthest - place).collect()
    }

    /// What is shown.
    pub fn document(&mut self, seats: &Seats) -> LanesDocument<'_> {
        let passed = self.passed();
        let lanes = self.lane_ids().map(|lane| self.lane(lane, seats)).collect();
        LanesDocument {
            samples: self.index.samples(),
            sources: self.index.source_count(),
            shard_count: self.index.shards.len(),
            shards: self.shown_shards(&passed),
            lanes,
        }
    }

    fn lane_ids(&self) -> impl Iterator<Item = LaneId> + use<> {
        (0..self.lanes).map(LaneId)
    }

    /// All sources' parts of a lane together.
    fn lane(&self, lane: LaneId, seats: &Seats) -> LaneDocument {
        let streams = self.plan.streams(lane).map(|(stream, source)| {
            let cursor = self.cursors[stream.index()];
            let of = self.plan.source(source).lane_length(cursor.epoch, lane);
            (cursor, of)
        });
        let streams: Vec<(Cursor, u64)> = streams.collect();
        let epochs = streams.iter().map(|(cursor, _)| cursor.epoch.0);
        LaneDocument {
            lane: lane.0,
            rank: seats.rank_of_lane(lane).map(|rank| rank.0),
            epoch: epochs.min().unwrap_or_default(),
            passed: streams.iter().map(|(cursor, _)| cursor.passed).sum(),
            of: streams.iter().map(|(_, of)| of).sum(),
        }
    }

    /// Samples of each shard that were passed in its source's present epoch, which is that of the
    /// lane that is furthest behind.
    fn passed(&mut self) -> Vec<u64> {
        let mut passed = vec![0; self.index.shards.len()];
        for source in self.index.source_ids() {
            let of_lanes = self.lane_ids().map(|lane| {
                let stream = self.index.stream(lane, source);
                (lane, self.cursors[stream.index()])
            });
            let of_lanes: Vec<(LaneId, Cursor)> = of_lanes.collect();
            let epochs = of_lanes.iter().map(|(_, cursor)| cursor.epoch);
            let present = epochs.min().unwrap_or_default();
            let plan = &mut self.epochs[source.index()];
            if plan.epoch() != present {
                *plan = self.plan.source(source).epoch(present);
            }
            for (lane, cursor) in of_lanes {
                let beginning = match cursor.epoch > present {
                    true => plan.beginning(lane, u64::MAX),
                    false => plan.beginning(lane, cursor.passed),
                };
                for segment in beginning {
                    passed[segment.shard.index()] += segment.count;
                }
            }
        }
        passed
    }

    /// All shards; of very many, those that were given up or are being read.
    fn shown_shards(&self, passed: &[u64]) -> Vec<ShardDocument<'_>> {
        let shards = (0..).zip(&self.index.shards).zip(passed);
        let shards = shards.map(|((shard, entry), passed)| ShardDocument {
            shard,
            url: &entry.url,
            samples: entry.samples,
            passed: *passed,
            quarantined: self.quarantined.get(&ShardId(shard)).map(String::as_str),
        });
        let all = self.index.shards.len() <= MOST_SHARDS;
        let is_read = |one: &ShardDocument<'_>| 0 < one.passed && one.passed < one.samples;
        let shown = shards.filter(|one| all || one.quarantined.is_some() || is_read(one));
        shown.take(MOST_SHARDS).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::config::Captions;
    use twinspan_types::{ShardEntry, SourceEntry};

    fn index(sources: u32, shards: u32, samples: u64) -> Index {
        let entry = |number: u32| ShardEntry {
            url: format!("file:///{number}.tar"),
            samples,
            bytes: 0,
            etag: None,
        };
        let source = SourceEntry {
            shards,
            weight: 1.0,
            captions: Captions::default(),
        };
        Index {
            sources: vec![source; sources as usize],
            shards: (0..sources * shards).map(entry).collect(),
        }
    }

    fn lanes(index: Index, lanes: u32) -> Lanes {
        let order = Order {
            seed: 7,
            lanes,
            shuffle_window: 4,
        };
        Lanes::new(index, order).expect("enough samples")
    }

    fn at(epoch: u64, passed: u64) -> Cursor {
        Cursor {
            epoch: Epoch(epoch),
            passed,
        }
    }

    #[test]
    fn what_the_lanes_have_passed_is_passed_of_the_shards() {
        let mut lanes = lanes(index(1, 4, 10), 2);
        lanes.moved(&[at(0, 12), at(0, 5)]);
        let passed = lanes.passed();
        assert_eq!(passed.iter().sum::<u64>(), 17);
        // A lane's first whole shard.
        assert!(passed.contains(&10) && passed.contains(&0));
        let shown = serde_json::json!(lanes.document(&Seats::default()));
        assert_eq!(shown["lanes"][0]["passed"], 12);
        assert_eq!(shown["lanes"][0]["of"], 20);
        assert_eq!(shown["lanes"][0]["rank"], serde_json::Value::Null);
        assert_eq!(lanes.lags(), [0, 7]);
    }

    #[test]
    fn a_lane_that_is_in_the_next_epoch_has_passed_its_whole_piece() {
        let mut lanes = lanes(index(1, 4, 10), 2);
        lanes.moved(&[at(1, 3), at(0, 19)]);
        assert_eq!(lanes.passed().iter().sum::<u64>(), 39);
        assert_eq!(lanes.lags(), [0, 4]);
        lanes.moved(&[at(1, 3), at(1, 0)]);
        assert_eq!(lanes.passed().iter().sum::<u64>(), 3);
        // Positions that are of other lanes than these are not taken.
        lanes.moved(&[at(5, 5)]);
        assert_eq!(lanes.passed().iter().sum::<u64>(), 3);
    }

    #[test]
    fn a_lanes_sources_are_summed() {
        let mut lanes = lanes(index(2, 2, 10), 2);
        lanes.moved(&[at(0, 1), at(0, 2), at(0, 3), at(1, 4)]);
        let shown = serde_json::json!(lanes.document(&Seats::default()));
        assert_eq!(shown["lanes"][0]["passed"], 3);
        assert_eq!(shown["lanes"][1]["passed"], 7);
        assert_eq!(shown["lanes"][1]["of"], 20);
        assert_eq!(shown["lanes"][1]["epoch"], 0);
        assert_eq!(shown["sources"], 2);
    }

    #[test]
    fn of_very_many_shards_those_being_read_are_shown() {
        let mut lanes = lanes(index(1, 5000, 10), 2);
        lanes.moved(&[at(0, 25), at(0, 10)]);
        lanes.quarantine(&Quarantine {
            shard: ShardId(4711),
            url: String::new(),
            samples: 10,
            reason: "gone".to_owned(),
            from: Vec::new(),
        });
        let document = lanes.document(&Seats::default());
        assert_eq!(document.shard_count, 5000);
        assert!(document.shards.len() <= 3);
        let given_up = |shard: &ShardDocument<'_>| shard.quarantined == Some("gone");
        assert!(document.shards.iter().any(given_up));
    }
}
