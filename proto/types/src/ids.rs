//! Newtypes for every number that crosses a function boundary.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number itself.
            #[must_use]
            pub const fn get(self) -> $inner {
                self.0
            }

            /// The number as an index into a slice.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// The number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A worker's number in a generation, from 0.
    Rank(u32)
);
number!(
    /// How many ranks a generation has.
    WorldSize(u32)
);
number!(
    /// Committed optimiser updates; step 0 is the state before the first update.
    Step(u64)
);
number!(
    /// The lifetime of one agreed set of workers; it only rises and fences every message.
    Generation(u64)
);
number!(
    /// The lifetime of one coordinator as the owner of a run; it only rises.
    Term(u64)
);
number!(
    /// One of the fixed, ordered streams that the dataset is cut into.
    LaneId(u32)
);
number!(
    /// One source's part of a lane: `lane * sources + source`.
    StreamId(u32)
);
number!(
    /// A source's place in `data.sources`.
    SourceId(u32)
);
number!(
    /// A shard's place in the index.
    ShardId(u32)
);
number!(
    /// A pass over the dataset, from 0.
    Epoch(u64)
);
number!(
    /// A random number that tells one attempt from another.
    Nonce(u64)
);
number!(
    /// What join returned to a worker and what later messages of that worker must carry.
    SessionSecret(u64)
);

/// A worker's name, given by the coordinator at join and never used twice in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkerId(pub String);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl WorldSize {
    /// The ranks of this world in order.
    pub fn ranks(self) -> impl Iterator<Item = Rank> + use<> {
        (0..self.0).map(Rank)
    }
}
