//! How long a step takes, to tell a slow one.

use std::collections::VecDeque;
use std::time::Duration;

/// Steps that are remembered.
const REMEMBERED: usize = 32;
/// Steps without which none is slow.
const LEAST: usize = 8;
/// A slow step takes this many times the median.
const SLOW: u32 = 2;

/// The last steps' times.
#[derive(Debug, Default)]
pub(crate) struct Pace(VecDeque<Duration>);

impl Pace {
    /// Takes note of a step.
    pub(crate) fn note(&mut self, took: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// The time beyond which a step is slow; none before enough is known.
    pub(crate) fn slow_after(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2)?;
        (sorted.len() >= LEAST).then(|| *median * SLOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_slow_beyond_twice_the_median_of_those_before() {
        let mut pace = Pace::default();
        let ms = Duration::from_millis;
        for took in [100, 90, 5000, 110, 100, 95, 105] {
            pace.note(ms(took));
        }
        assert_eq!(pace.slow_after(), None);
        pace.note(ms(100));
        assert_eq!(pace.slow_after(), Some(ms(200)));
        (0..40).for_each(|_| pace.note(ms(10)));
        assert_eq!(pace.slow_after(), Some(ms(20)));
    }
}
