//! The data order: which sample stands where in which lane. Pure; a function of the index's
//! counts and weights, the seed, the number of lanes and the window, and of nothing else.
//!
//! For epoch E of a source its shards are permuted by (seed, E), their samples laid in one line,
//! and the line cut into `lanes` pieces whose lengths differ by at most one. A stream is a source's
//! part of a lane l: piece l of epoch 0, then of epoch 1, and so on, each piece shuffled within
//! windows by (seed, E, l, window). Which source gives a lane's next good sample is drawn by
//! ([`Mix`]). Nothing here grows with the number of samples but a single window.

mod mix;
#[cfg(test)]
mod tests;

pub use mix::Mix;

use crate::random::{Keyed, first_word};
use twinspan_types::{Cursor, Epoch, Index, IndexError, LaneId, ShardId, SourceId, StreamId};

/// What decides the order besides the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// The run's seed.
    pub seed: u64,
    /// Lanes that the dataset is cut into.
    pub lanes: u32,
    /// Samples within which a lane is shuffled.
    pub shuffle_window: u64,
}

/// The order of all sources, and how lanes draw from them.
#[derive(Debug, Clone)]
pub struct Plan {
    sources: Vec<SourcePlan>,
    mix: Mix,
}

/// The order of all epochs of one source.
#[derive(Debug, Clone)]
pub struct SourcePlan {
    order: Order,
    /// The first of its shards.
    first: u32,
    shard_samples: Vec<u64>,
    samples: u64,
}

/// The order of one epoch of a source: the permutation of the shards and where each begins in the line.
#[derive(Debug, Clone)]
pub struct EpochPlan {
    order: Order,
    epoch: Epoch,
    /// Shards that hold samples, in the order of the line.
    shards: Vec<ShardId>,
    /// Place in the line of each shard's first sample, and last the line's length.
    starts: Vec<u64>,
}

/// One sample's place in the order and in its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId {
    /// The pass over the dataset.
    pub epoch: Epoch,
    /// The lane that gives it.
    pub lane: LaneId,
    /// The shard that holds it.
    pub shard: ShardId,
    /// Samples before it in that shard.
    pub index_in_shard: u64,
}

/// Consecutive samples of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The shard.
    pub shard: ShardId,
    /// Samples of the shard before the segment.
    pub first: u64,
    /// Samples in the segment.
    pub count: u64,
}

/// The samples of a lane that are shuffled together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Samples of the lane's piece before the window.
    pub start: u64,
    /// What to read, in the order of the line.
    pub segments: Vec<Segment>,
    /// The window's n-th sample is the `order[n]`-th that the segments give.
    pub order: Vec<u32>,
}

impl Plan {
    /// The order of an index's samples. A `shuffle_window` of 0 counts as 1, and one over
    /// `u32::MAX` as `u32::MAX`.
    ///
    /// # Errors
    /// When a source has fewer samples than there are lanes, or there are no lanes.
    pub fn new(index: &Index, order: Order) -> Result<Self, IndexError> {
        index.check_lanes(order.lanes.max(1))?;
        let weights: Vec<f64> = index.sources.iter().map(|source| source.weight).collect();
        Ok(Self {
            sources: index
                .source_ids()
                .map(|source| SourcePlan::new(index, source, order))
                .collect(),
            mix: Mix::new(order.seed, &weights),
        })
    }

    /// The order of one source.
    #[must_use]
    pub fn source(&self, source: SourceId) -> &SourcePlan {
        &self.sources[source.index()]
    }

    /// Which source gives which draw.
    #[must_use]
    pub fn mix(&self) -> &Mix {
        &self.mix
    }

    /// The streams of one lane with their sources.
    pub fn streams(&self, lane: LaneId) -> impl Iterator<Item = (StreamId, SourceId)> + use<> {
        let sources = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        (0..sources).map(move |source| (StreamId(lane.0 * sources + source), SourceId(source)))
    }
}

impl SourcePlan {
    fn new(index: &Index, source: SourceId, order: Order) -> Self {
        let shards = index.shards_of(source);
        // Sources of the same shape must not be shuffled alike.
        let seed = match source.0 {
            0 => order.seed,
            number => first_word("source", &[order.seed, u64::from(number)], ""),
        };
        let shard_samples = shards.clone().map(|id| index.shard(ShardId(id)).samples);
        Self {
            order: Order {
                seed,
                lanes: order.lanes.max(1),
                shuffle_window: order.shuffle_window.clamp(1, u64::from(u32::MAX)),
            },
            first: shards.start,
            shard_samples: shard_samples.collect(),
            samples: index.samples_of(source),
        }
    }

    /// The order of one epoch, in time and memory that grow with the number of shards.
    #[must_use]
    pub fn epoch(&self, epoch: Epoch) -> EpochPlan {
        let samples = |id: &ShardId| self.shard_samples[(id.0 - self.first) as usize];
        let ids = (self.first..).map(ShardId).take(self.shard_samples.len());
        let mut shards: Vec<ShardId> = ids.filter(|id| samples(id) > 0).collect();
        Keyed::new("shards", &[self.order.seed, epoch.0]).shuffle(&mut shards);
        let mut starts = Vec::with_capacity(shards.len() + 1);
        let mut start = 0;
        starts.push(start);
        for shard in &shards {
            start += samples(shard);
            starts.push(start);
        }
        EpochPlan {
            order: self.order,
            epoch,
            shards,
            starts,
        }
    }

    /// Samples of a lane's piece of one epoch.
    #[must_use]
    pub fn lane_length(&self, epoch: Epoch, lane: LaneId) -> u64 {
        let piece = Pieces::new(self.order.lanes, self.samples, epoch);
        piece.start(lane.0 + 1) - piece.start(lane.0)
    }

    /// The cursor in the one form that a position has: never at the end of a piece, where the
    /// beginning of the next epoch's piece is the same position.
    #[must_use]
    pub fn canonical(&self, lane: LaneId, cursor: Cursor) -> Cursor {
        match cursor.passed >= self.lane_length(cursor.epoch, lane) {
            true => Cursor {
                epoch: cursor.epoch.next(),
                passed: 0,
            },
            false => cursor,
        }
    }
}

impl EpochPlan {
    /// Which epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Samples of a lane's piece.
    #[must_use]
    pub fn lane_length(&self, lane: LaneId) -> u64 {
        let (start, end) = self.piece(lane);
        end - start
    }

    /// Windows of a lane's piece.
    #[must_use]
    pub fn windows(&self, lane: LaneId) -> u64 {
        self.lane_length(lane).div_ceil(self.order.shuffle_window)
    }

    /// The number of the window that holds the sample after `passed`.
    #[must_use]
    pub fn window_at(&self, passed: u64) -> u64 {
        passed / self.order.shuffle_window
    }

    /// The `number`-th window of a lane's piece; empty where there is none.
    #[must_use]
    pub fn window(&self, lane: LaneId, number: u64) -> Window {
        let (piece_start, piece_end) = self.piece(lane);
        let start = number
            .saturating_mul(self.order.shuffle_window)
            .min(piece_end - piece_start);
        let first = piece_start + start;
        let end = first
            .saturating_add(self.order.shuffle_window)
            .min(piece_end);
        let count = u32::try_from(end - first).unwrap_or(u32::MAX);
        let mut order: Vec<u32> = (0..count).collect();
        let key = [self.order.seed, self.epoch.0, u64::from(lane.0), number];
        Keyed::new("window", &key).shuffle(&mut order);
        Window {
            start,
            segments: self.segments(first, end),
            order,
        }
    }

    /// The parts of shards that hold a lane's first samples, as if nothing were shuffled within
    /// windows: what a reader has passed, to within a window.
    #[must_use]
    pub fn beginning(&self, lane: LaneId, passed: u64) -> Vec<Segment> {
        let (start, end) = self.piece(lane);
        self.segments(start, start.saturating_add(passed).min(end))
    }

    /// The shards' parts between two places in the line.
    fn segments(&self, mut first: u64, end: u64) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut position = self
            .starts
            .partition_point(|start| *start <= first)
            .saturating_sub(1);
        while first < end {
            let (start, next) = (self.starts[position], self.starts[position + 1]);
            let count = next.min(end) - first;
            segments.push(Segment {
                shard: self.shards[position],
                first: first - start,
                count,
            });
            first += count;
            position += 1;
        }
        segments
    }

    fn piece(&self, lane: LaneId) -> (u64, u64) {
        let samples = self.starts.last().copied().unwrap_or(0);
        let pieces = Pieces::new(self.order.lanes, samples, self.epoch);
        (pieces.start(lane.0), pieces.start(lane.0 + 1))
    }
}

impl Window {
    /// The shard, and the place in it, of the `line`-th sample that the segments give.
    #[must_use]
    pub fn sample(&self, mut line: u64) -> Option<(ShardId, u64)> {
        for segment in &self.segments {
            match line < segment.count {
                true => return Some((segment.shard, segment.first + line)),
                false => line -= segment.count,
            }
        }
        None
    }
}

/// How the line of one epoch is cut: every piece has `base` samples, and the `remainder` pieces
/// from `shift` on, around the end, one more. The shift moves on by the remainder each epoch, so
/// that over all epochs together, too, lanes differ by at most one sample.
struct Pieces {
    lanes: u64,
    base: u64,
    remainder: u64,
    shift: u64,
}

impl Pieces {
    fn new(lanes: u32, samples: u64, epoch: Epoch) -> Self {
        let lanes = u64::from(lanes);
        let (base, remainder) = (samples / lanes, samples % lanes);
        Self {
            lanes,
            base,
            remainder,
            shift: (epoch.0 % lanes) * remainder % lanes,
        }
    }

    /// Place in the line where a piece begins; for `lanes`, the line's length.
    fn start(&self, piece: u32) -> u64 {
        let piece = u64::from(piece).min(self.lanes);
        let wrapped = (self.shift + self.remainder).saturating_sub(self.lanes);
        let unwrapped = self.remainder - wrapped;
        let longer = piece.min(wrapped) + piece.saturating_sub(self.shift).min(unwrapped);
        piece * self.base + longer
    }
}
