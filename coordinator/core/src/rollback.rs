//! Rollbacks: the run goes back to its newest checkpoint and passes over the steps that led to
//! numbers that were not finite.

use twinspan_types::Step;

/// The rollbacks of a run, over all its terms.
#[derive(Debug)]
pub(crate) struct Rollbacks(Vec<Vec<Step>>);

impl Rollbacks {
    pub(crate) fn new(logged: Vec<Vec<Step>>) -> Self {
        Self(logged)
    }

    /// Whether going back once more may help: no checkpoint beyond the steps of the last rollback
    /// means that it did not.
    pub(crate) fn may_help(&self, newest_checkpoint: Option<Step>) -> bool {
        let last = self.0.last().and_then(|steps| steps.iter().max());
        last.is_none_or(|last| newest_checkpoint.is_some_and(|newest| newest >= *last))
    }

    pub(crate) fn add(&mut self, steps: Vec<Step>) {
        self.0.push(steps);
    }

    /// The steps behind `start` that change no weight, ascending.
    pub(crate) fn passed_over(&self, start: Step) -> Vec<Step> {
        let mut steps: Vec<Step> = self.0.iter().flatten().copied().collect();
        steps.retain(|step| *step > start);
        steps.sort_unstable();
        steps.dedup();
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_rollback_needs_a_checkpoint_beyond_the_first_ones_steps() {
        let mut rollbacks = Rollbacks::new(Vec::new());
        assert!(rollbacks.may_help(None) && rollbacks.passed_over(Step(0)).is_empty());
        rollbacks.add(vec![Step(7), Step(8)]);
        assert!(!rollbacks.may_help(None) && !rollbacks.may_help(Some(Step(4))));
        assert!(rollbacks.may_help(Some(Step(8))));
        assert_eq!(rollbacks.passed_over(Step(7)), [Step(8)]);
    }
}
