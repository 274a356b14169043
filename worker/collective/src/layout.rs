//! Where the ranks' parts lie in a buffer, and whether a call's slices fit each other.

use crate::{CollectiveError, MAX_MESSAGE, Operation};
use std::ops::Range;
use twinspan_types::{Rank, WorldSize};

/// What all ranks of one collective must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    pub operation: Operation,
    /// Its number in the generation.
    pub sequence: u64,
    /// Bytes of the whole buffer; 0 where the ranks may differ.
    pub total: u64,
    /// The rank whose buffer counts; 0 where there is none.
    pub root: Rank,
}

impl Call {
    /// A call in which no rank is special.
    pub fn new(operation: Operation, sequence: u64, total: usize) -> Self {
        Self {
            operation,
            sequence,
            total: total as u64,
            root: Rank(0),
        }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            operation,
            sequence,
            total,
            root,
        } = self;
        write!(f, "{operation} as collective {sequence} over {total} bytes")?;
        match operation {
            Operation::Broadcast => write!(f, " from root {root}"),
            _ => Ok(()),
        }
    }
}

/// The range of one rank's part when `counts` parts lie behind each other.
pub(crate) fn part(counts: &[usize], rank: Rank) -> Range<usize> {
    let start: usize = counts[..rank.index()].iter().sum();
    start..start + counts[rank.index()]
}

/// The range of chunk `index` when `length` numbers are cut into `world` chunks whose lengths differ
/// by at most one.
pub(crate) fn chunk(length: usize, world: WorldSize, index: Rank) -> Range<usize> {
    let world = world.index();
    let (base, longer) = (length / world, length % world);
    let edge = |chunk: usize| chunk * base + chunk.min(longer);
    edge(index.index())..edge(index.index() + 1)
}

/// Two ranges of one buffer that do not overlap: the first to read, the second to write.
pub(crate) fn disjoint<T>(
    buffer: &mut [T],
    read: Range<usize>,
    write: Range<usize>,
) -> (&[T], &mut [T]) {
    let [read, write] = buffer
        .get_disjoint_mut([read, write])
        .expect("parts of different ranks lie behind each other inside the buffer");
    (read, write)
}

/// Checks the slices of an all-gather against each other.
pub(crate) fn check_gather(
    rank: Rank,
    world: WorldSize,
    local: &[f32],
    counts: &[usize],
    out: &[f32],
) -> Result<(), CollectiveError> {
    let total: usize = counts.iter().sum();
    let detail = if counts.len() != world.index() {
        format!("{} counts for {world} ranks", counts.len())
    } else if local.len() != counts[rank.index()] {
        format!(
            "{} local numbers, counts[{rank}] says {}",
            local.len(),
            counts[rank.index()]
        )
    } else if out.len() != total {
        format!("room for {} numbers, counts say {total}", out.len())
    } else {
        return Ok(());
    };
    Err(CollectiveError::Protocol {
        detail: format!("all_gather on rank {rank} got {detail}"),
    })
}

/// Checks that a broadcast's root exists.
pub(crate) fn check_root(rank: Rank, world: WorldSize, root: Rank) -> Result<(), CollectiveError> {
    if root.0 < world.0 {
        return Ok(());
    }
    let detail = format!("broadcast on rank {rank} got root {root} in a world of {world}");
    Err(CollectiveError::Protocol { detail })
}

/// Checks a message's length.
pub(crate) fn check_message(rank: Rank, local: &[u8]) -> Result<(), CollectiveError> {
    if local.len() <= MAX_MESSAGE {
        return Ok(());
    }
    let length = local.len();
    let detail =
        format!("all_gather_bytes on rank {rank} got {length} bytes, the limit is {MAX_MESSAGE}");
    Err(CollectiveError::Protocol { detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_buffer_in_order_and_differ_by_one_at_most() {
        for world in 1..=6 {
            for length in 0..20 {
                let mut next = 0;
                for rank in WorldSize(world).ranks() {
                    let range = chunk(length, WorldSize(world), rank);
                    assert_eq!(range.start, next);
                    assert!(range.len().abs_diff(length / world as usize) <= 1);
                    next = range.end;
                }
                assert_eq!(next, length);
            }
        }
    }
}
