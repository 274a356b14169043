//! What chaos does, when and to whom, by the seed alone.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::time::Duration;

/// Seconds between two deeds.
const BETWEEN: [f64; 2] = [2.0, 8.0];
/// A stop that the run waits for, as a share of the heartbeat's timeout.
const SHORT: [f64; 2] = [0.2, 0.8];
/// A stop after which the process has been given up.
const LONG: [f64; 2] = [1.2, 2.5];
/// One deed in so many is the coordinator's.
const COORDINATORS: u32 = 4;

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The coordinator.
    Coordinator,
    /// A worker: the draw, taken modulo how many there are, is its place among them.
    Worker(u32),
}

/// What is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is killed.
    Kill,
    /// It stands still from now on.
    Stop,
    /// It may go on.
    Continue,
}

/// A deed and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Time since the deed before it.
    pub after: Duration,
    /// To whom.
    pub victim: Victim,
    /// What.
    pub deed: Deed,
}

/// The deeds of one seed, endless. One process at a time stands still, and goes on before anything
/// else is done.
#[derive(Debug)]
pub struct Schedule {
    random: ChaCha8Rng,
    heartbeat_timeout: Duration,
    /// Who has been stopped, and for how long.
    stopped: Option<(Victim, Duration)>,
}

impl Schedule {
    /// The schedule of a seed for a run with this `cluster.heartbeat_timeout`.
    pub fn new(seed: u64, heartbeat_timeout: Duration) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            heartbeat_timeout,
            stopped: None,
        }
    }

    fn is_one_in(&mut self, many: u32) -> bool {
        self.random.next_u32().is_multiple_of(many)
    }

    fn between(&mut self, [low, high]: [f64; 2]) -> f64 {
        let share = f64::from(self.random.next_u32()) / f64::from(u32::MAX);
        low + (high - low) * share
    }
}

impl Iterator for Schedule {
    type Item = Turn;

    fn next(&mut self) -> Option<Turn> {
        if let Some((victim, after)) = self.stopped.take() {
            let deed = Deed::Continue;
            return Some(Turn {
                after,
                victim,
                deed,
            });
        }
        let after = Duration::from_secs_f64(self.between(BETWEEN));
        let victim = match self.is_one_in(COORDINATORS) {
            true => Victim::Coordinator,
            false => Victim::Worker(self.random.next_u32()),
        };
        let deed = match self.is_one_in(2) {
            true => Deed::Kill,
            false => {
                let shares = if self.is_one_in(2) { SHORT } else { LONG };
                let pause = self.heartbeat_timeout.mul_f64(self.between(shares));
                self.stopped = Some((victim, pause));
                Deed::Stop
            }
        };
        Some(Turn {
            after,
            victim,
            deed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn turns(seed: u64) -> Vec<Turn> {
        Schedule::new(seed, TIMEOUT).take(1000).collect()
    }

    #[test]
    fn a_seed_is_a_schedule_and_another_seed_another() {
        assert_eq!(turns(7), turns(7));
        assert_ne!(turns(7), turns(8));
    }

    #[test]
    fn whoever_is_stopped_goes_on_next_and_nobody_else_does() {
        let turns = turns(7);
        for pair in turns.windows(2) {
            let stops = pair[0].deed == Deed::Stop;
            assert_eq!(stops, pair[1].deed == Deed::Continue);
            assert!(!stops || pair[0].victim == pair[1].victim);
        }
        assert_ne!(turns[0].deed, Deed::Continue);
    }

    #[test]
    fn stops_are_bounded_and_both_shorter_and_longer_than_the_heartbeats_timeout() {
        let turns = turns(7);
        let stops = turns.iter().filter(|turn| turn.deed == Deed::Continue);
        let pauses = stops.map(|turn| turn.after);
        let (short, long): (Vec<_>, Vec<_>) = pauses.partition(|pause| *pause < TIMEOUT);
        assert!(short.len() > 100 && long.len() > 100);
        assert!(long.iter().all(|pause| *pause <= TIMEOUT.mul_f64(2.5)));
    }

    #[test]
    fn all_else_comes_two_to_eight_seconds_apart_to_workers_and_coordinators() {
        let turns = turns(7);
        let others = turns.iter().filter(|turn| turn.deed != Deed::Continue);
        let seconds = others.clone().map(|turn| turn.after.as_secs_f64());
        assert!(
            seconds
                .clone()
                .all(|seconds| (2.0..=8.0).contains(&seconds))
        );
        for deed in [Deed::Kill, Deed::Stop] {
            let of = others.clone().filter(|turn| turn.deed == deed);
            let coordinators = of.clone().filter(|turn| turn.victim == Victim::Coordinator);
            let share = coordinators.count() as f64 / of.count() as f64;
            assert!((0.15..0.35).contains(&share), "{deed:?}: {share}");
        }
    }
}
