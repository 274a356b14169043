//! Shards that a run has given up.

use crate::{Cursor, ShardId, StreamId};
use serde::{Deserialize, Serialize};

/// A shard that one rank could not read: in these streams its samples at and behind these positions
/// are passed over. Positions of other streams are not touched, because whoever reads them may
/// still be able to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// The shard.
    pub shard: ShardId,
    /// Its URL.
    pub url: String,
    /// Its samples.
    pub samples: u64,
    /// Why it cannot be read.
    pub reason: String,
    /// Where it takes effect.
    pub from: Vec<(StreamId, Cursor)>,
}

impl Quarantine {
    /// Whether this one has all the effects of another.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let covers = |(stream, cursor): &(StreamId, Cursor)| {
            let mut from = self.from.iter();
            from.any(|(known, since)| known == stream && since <= cursor)
        };
        self.shard == other.shard && other.from.iter().all(covers)
    }
}
