//! Which states are the run's: a generation makes void what earlier ones committed beyond its start.

use twinspan_types::{Generation, Stamp, Step};

/// The generations that were logged, and the steps that they started from.
#[derive(Debug, Default)]
pub(crate) struct Lineage(Vec<(Generation, Step)>);

impl Lineage {
    pub(crate) fn new(worlds: Vec<(Generation, Step)>) -> Self {
        Self(worlds)
    }

    /// A generation's record is in the log.
    pub(crate) fn add(&mut self, generation: Generation, start: Step) {
        self.0.push((generation, start));
    }

    /// The highest generation so far; 0 for none.
    pub(crate) fn highest(&self) -> Generation {
        let generations = self.0.iter().map(|(generation, _)| *generation);
        generations.max().unwrap_or_default()
    }

    /// Whether a state with this stamp is one of the run's.
    pub(crate) fn holds(&self, stamp: Stamp) -> bool {
        let mut later = self
            .0
            .iter()
            .filter(|(generation, _)| *generation > stamp.generation);
        stamp.generation > Generation(0) && later.all(|(_, start)| stamp.step <= *start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_generation_made_void_is_no_state_of_the_run() {
        let mut lineage = Lineage::new(vec![(Generation(1), Step(0))]);
        let stamp = |generation, step| Stamp {
            generation: Generation(generation),
            step: Step(step),
        };
        assert!(lineage.holds(stamp(1, 50)) && !lineage.holds(stamp(0, 0)));
        lineage.add(Generation(2), Step(48));
        lineage.add(Generation(3), Step(60));
        let held = [(1, 48), (1, 49), (2, 60), (2, 61), (3, 90)];
        let held = held.map(|(generation, step)| lineage.holds(stamp(generation, step)));
        assert_eq!(held, [true, false, true, false, true]);
        assert_eq!(lineage.highest(), Generation(3));
    }
}
