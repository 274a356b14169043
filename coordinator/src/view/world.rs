//! Who holds which rank, and reads which lane.

use std::sync::Arc;
use twinspan_types::{Generation, LaneId, LaneTable, Member, Rank, RankStatus, WorkerId};

/// The generation that was formed last.
#[derive(Debug, Default)]
pub struct Seats {
    pub generation: Generation,
    workers: Vec<WorkerId>,
    /// Machines by rank, as far as they are known.
    hosts: Vec<Arc<str>>,
    /// Each rank's lanes.
    lanes: Vec<Vec<u32>>,
    /// Each lane's rank; none before the first generation.
    lane_ranks: Vec<Rank>,
}

impl Seats {
    /// Of a generation with these members.
    pub fn new(generation: Generation, members: &[Member], lanes: &LaneTable) -> Self {
        let mut of_ranks = vec![Vec::new(); members.len()];
        for (lane, rank) in (0..).zip(lanes.ranks()) {
            if let Some(lanes) = of_ranks.get_mut(rank.index()) {
                lanes.push(lane);
            }
        }
        Self {
            generation,
            workers: members.iter().map(|member| member.worker.clone()).collect(),
            hosts: vec![Arc::from(""); members.len()],
            lanes: of_ranks,
            lane_ranks: lanes.ranks().to_vec(),
        }
    }

    /// Takes note of the machines that the workers are on.
    pub fn meet<'s>(&mut self, workers: impl Iterator<Item = &'s RankStatus>) {
        for worker in workers {
            if let Some(rank) = self.rank_of(worker)
                && *self.hosts[rank.index()] != *worker.host
            {
                self.hosts[rank.index()] = Arc::from(worker.host.as_str());
            }
        }
    }

    /// The rank that a worker holds; none before its first generation, and while it waits for one.
    pub fn rank_of(&self, worker: &RankStatus) -> Option<Rank> {
        let holder = self.workers.get(worker.rank.index());
        (holder == Some(&worker.worker)).then_some(worker.rank)
    }

    /// The workers by rank.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.workers.iter().cloned()
    }

    /// A rank's machine; empty where it is not known.
    pub fn host(&self, rank: Rank) -> Arc<str> {
        let host = self.hosts.get(rank.index());
        host.map_or_else(|| Arc::from(""), Arc::clone)
    }

    /// The lanes that a rank reads.
    pub fn lanes_of(&self, rank: Rank) -> &[u32] {
        self.lanes.get(rank.index()).map_or(&[], Vec::as_slice)
    }

    /// The rank that reads a lane; none before the first generation.
    pub fn rank_of_lane(&self, lane: LaneId) -> Option<Rank> {
        self.lane_ranks.get(lane.index()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use twinspan_types::{Phase, Step, Vitals};

    fn status(worker: &str, rank: u32) -> RankStatus {
        RankStatus {
            rank: Rank(rank),
            worker: WorkerId(worker.to_owned()),
            host: format!("host-of-{worker}"),
            pid: 1,
            address: String::new(),
            phase: Phase::Compute,
            step: Step(1),
            heartbeat_age: Duration::ZERO,
            lease_age: None,
            device: String::new(),
            vitals: Vitals::default(),
            draining: false,
        }
    }

    #[test]
    fn a_worker_that_waits_beside_a_generation_has_no_rank() {
        let members = ["a", "b"].map(|name| Member {
            worker: WorkerId(name.to_owned()),
            address: String::new(),
        });
        let table = LaneTable::new([0, 0, 1].map(Rank).to_vec());
        let mut seats = Seats::new(Generation(2), &members, &table);
        assert_eq!(seats.rank_of(&status("b", 1)), Some(Rank(1)));
        // Its number is what a worker has before it is given one.
        assert_eq!(seats.rank_of(&status("c", 0)), None);
        assert_eq!(seats.lanes_of(Rank(0)), [0, 1]);
        assert_eq!(seats.rank_of_lane(LaneId(2)), Some(Rank(1)));
        seats.meet([status("b", 1), status("c", 0)].iter());
        assert_eq!(&*seats.host(Rank(1)), "host-of-b");
        assert_eq!(&*seats.host(Rank(0)), "");
    }
}
