//! How often the coordinator is asked for what it does not have yet.

use std::time::Duration;

/// The shortest pause between two looks whether a world was formed.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(1);
/// What each worker of a world adds to the pause of all: 2,000 looks a second keep a core less than
/// half busy, and so many get a world of a thousand members without a wait for each other.
const EACH: Duration = Duration::from_micros(500);

/// The pause between two looks of a worker whether its world of `wanted` workers was formed. The
/// worker's `nonce` takes up to half of it away or adds that: those who left the last world
/// together do not ask for the next one together.
#[must_use]
pub fn world_pause(wanted: u32, nonce: u64) -> Duration {
    const PHASES: u32 = 1024;
    let phase = PHASES / 2 + (nonce % u64::from(PHASES)) as u32;
    (EACH * wanted * phase / PHASES).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_world_is_asked_for_often_and_a_large_one_is_not_flooded() {
        let pauses =
            |wanted: u32| (0..u64::from(wanted)).map(move |n| world_pause(wanted, n * 7919));
        assert!(pauses(32).all(|pause| pause == SHORTEST));
        assert!(pauses(100_000).all(|pause| pause == LONGEST));
        for wanted in [64, 256, 1024] {
            let looks: f64 = pauses(wanted).map(|pause| 1.0 / pause.as_secs_f64()).sum();
            assert!(
                looks < 2500.0,
                "{wanted} workers ask {looks} times a second"
            );
        }
    }
}
