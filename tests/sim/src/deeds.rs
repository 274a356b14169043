//! What is done to the machines and the network, drawn from the seed.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::time::Duration;

/// One deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// A machine loses power, and its processes with it.
    Crash(&'static str),
    /// It starts again.
    Start(&'static str),
    /// Nothing passes between two machines any more.
    Partition(&'static str, &'static str),
    /// Everything passes again.
    Repair(&'static str, &'static str),
    /// What is on its way between two machines is held up.
    Hold(&'static str, &'static str),
    /// And comes, late.
    Release(&'static str, &'static str),
    /// What is on its way to and from a machine is held up: to the others it is frozen.
    Freeze(&'static str),
    /// It wakes.
    Wake(&'static str),
    /// Messages take up to so long.
    Latency(Duration),
    /// Connections break, one in so many messages; none for 0.
    Loss(u32),
}

/// The workers' machines.
pub const WORKERS: [&str; 4] = ["worker-a", "worker-b", "worker-c", "worker-d"];
/// The coordinators' machines; the second comes later.
pub const COORDINATORS: [&str; 2] = ["coordinator", "rival"];

/// The deeds of a seed, by time.
#[must_use]
pub fn deeds(seed: u64) -> Vec<(Duration, Deed)> {
    let mut draw = Draw(ChaCha12Rng::seed_from_u64(seed));
    let mut deeds = Vec::new();
    let count = draw.between(3, 9);
    let mut at = draw.time(800, 3000);
    for _ in 0..count {
        let length = draw.time(100, 5000);
        let worker = draw.one_of(&WORKERS);
        let other = draw.one_of(&WORKERS);
        let coordinator = draw.one_of(&COORDINATORS);
        let kind = draw.between(0, 9);
        let (begin, end) = match kind {
            0 | 1 => (Deed::Crash(worker), Deed::Start(worker)),
            2 => (Deed::Crash(coordinator), Deed::Start(coordinator)),
            3 if worker != other => (Deed::Partition(worker, other), Deed::Repair(worker, other)),
            3 | 4 => (
                Deed::Partition(worker, coordinator),
                Deed::Repair(worker, coordinator),
            ),
            5 if worker != other => (Deed::Hold(worker, other), Deed::Release(worker, other)),
            5 => (
                Deed::Hold(worker, coordinator),
                Deed::Release(worker, coordinator),
            ),
            6 => (
                Deed::Partition(COORDINATORS[0], COORDINATORS[1]),
                Deed::Repair(COORDINATORS[0], COORDINATORS[1]),
            ),
            7 => (Deed::Freeze(worker), Deed::Wake(worker)),
            8 => (Deed::Loss(2000), Deed::Loss(0)),
            _ => (
                Deed::Latency(draw.time(20, 400)),
                Deed::Latency(Duration::from_millis(5)),
            ),
        };
        deeds.push((at, begin));
        deeds.push((at + length, end));
        at += draw.time(200, 4000);
    }
    // In the order of time; what comes at once stays in the order in which it was drawn.
    deeds.sort_by_key(|(at, _)| *at);
    deeds
}

struct Draw(ChaCha12Rng);

impl Draw {
    /// A number from `least` to `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.next_u64() % (most - least + 1)
    }

    fn time(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.between(least, most))
    }

    fn one_of(&mut self, hosts: &[&'static str]) -> &'static str {
        let place = self.between(0, hosts.len() as u64 - 1);
        hosts[usize::try_from(place).unwrap_or_default()]
    }
}
