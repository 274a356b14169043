//! Who trains together, and who reads which lane.

use crate::{
    Directive, Epoch, Generation, LaneId, Nonce, Quarantine, Rank, Step, Term, WorkerId, WorldSize,
};
use serde::{Deserialize, Serialize};

/// A stream's position: everything before it has been passed, used or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The pass over the dataset.
    pub epoch: Epoch,
    /// Samples passed in that epoch's piece of the source, in shuffled order.
    pub passed: u64,
}

/// What a state is the state of. Of two stamps of the same lineage the higher is ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The generation that last formed from it or committed it; 0 for a worker without a state.
    pub generation: Generation,
    /// The last committed step.
    pub step: Step,
}

/// One rank of a world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The worker that holds the rank.
    pub worker: WorkerId,
    /// `host:port` of its data plane.
    pub address: String,
}

/// Which rank reads which lane. Lanes are dealt in whole groups, so that batch norm sees the same
/// samples together in every world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneTable(Vec<Rank>);

impl LaneTable {
    /// A table from each lane's rank, in the order of the lanes.
    #[must_use]
    pub fn new(ranks: Vec<Rank>) -> Self {
        Self(ranks)
    }

    /// Deals `lanes` lanes, `group` at a time, to `world` ranks: contiguous, and as even as whole
    /// groups allow.
    #[must_use]
    pub fn deal(lanes: u32, group: u32, world: WorldSize) -> Self {
        let groups = u64::from(lanes / group);
        let ranks = (0..lanes)
            .map(|lane| {
                let group = u64::from(lane / group);
                // The rank r whose share [r * groups / world, (r + 1) * groups / world) holds it.
                let rank = ((group + 1) * u64::from(world.0) - 1) / groups;
                Rank(u32::try_from(rank).unwrap_or(u32::MAX))
            })
            .collect();
        Self(ranks)
    }

    /// The rank that reads this lane.
    #[must_use]
    pub fn rank_of(&self, lane: LaneId) -> Rank {
        self.0[lane.index()]
    }

    /// The lanes of one rank, ascending.
    pub fn lanes_of(&self, rank: Rank) -> impl Iterator<Item = LaneId> + '_ {
        let lanes = (0..).map(LaneId).zip(&self.0);
        lanes.filter_map(move |(lane, &owner)| (owner == rank).then_some(lane))
    }

    /// Each lane's rank, in the order of the lanes.
    #[must_use]
    pub fn ranks(&self) -> &[Rank] {
        &self.0
    }
}

/// One generation: its ranks, their lanes, and the state that it starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// The term of the coordinator that formed it.
    pub term: Term,
    /// Its number.
    pub generation: Generation,
    /// The ranks, by rank.
    pub members: Vec<Member>,
    /// Which rank reads which lane.
    pub lanes: LaneTable,
    /// The last committed step that it starts from.
    pub start: Step,
    /// The rank that holds that step's state, from which the others heal.
    pub source: Option<Rank>,
    /// Without a source: the checkpoint directory that holds that step, relative to the run; none
    /// at step 0.
    pub restore: Option<String>,
    /// Steps behind it that change no weight: in an earlier attempt they led to numbers that were
    /// not finite.
    pub passed_over: Vec<Step>,
    /// Shards that are passed over, and from where on.
    pub quarantines: Vec<Quarantine>,
    /// What the data plane's handshakes must carry.
    pub token: Nonce,
    /// The order in force when it starts.
    pub directive: Directive,
}

impl World {
    /// How many ranks it has.
    #[must_use]
    pub fn size(&self) -> WorldSize {
        WorldSize(u32::try_from(self.members.len()).unwrap_or(u32::MAX))
    }

    /// The rank that a worker holds in it.
    #[must_use]
    pub fn rank_of(&self, worker: &WorkerId) -> Option<Rank> {
        let mut ranks = (0..).map(Rank).zip(&self.members);
        ranks.find_map(|(rank, member)| (member.worker == *worker).then_some(rank))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dealing_keeps_groups_whole_and_shares_even() {
        for (lanes, group) in [(8, 1), (8, 2), (12, 3), (12, 1)] {
            for world in 1..=(lanes / group) {
                let table = LaneTable::deal(lanes, group, WorldSize(world));
                let counts: Vec<usize> = (0..world)
                    .map(|rank| table.lanes_of(Rank(rank)).count())
                    .collect();
                let (least, most) = (counts.iter().min(), counts.iter().max());
                assert!(
                    most.zip(least)
                        .is_some_and(|(m, l)| m - l <= group as usize && *l > 0)
                );
                for chunk in table.ranks().chunks(group as usize) {
                    assert!(chunk.iter().all(|rank| *rank == chunk[0]));
                }
            }
        }
    }
}
