//! Finished evaluations, as far as they were told.

use twinspan_types::{Evaluation, Step};

/// What is known of the evaluations of the surviving lineage.
#[derive(Debug, Default)]
pub(crate) struct Evaluations {
    /// Every evaluation up to this step's was taken note of.
    told: Step,
    /// Every evaluation up to this step's is in the run's files.
    pub(crate) written: Step,
    /// The newest of this term.
    pub(crate) newest: Option<Evaluation>,
}

impl Evaluations {
    /// Of a term that finds these in the run's files.
    pub(crate) fn from(written: Step) -> Self {
        Self {
            told: written,
            written,
            newest: None,
        }
    }

    /// The last step that is told of.
    pub(crate) fn told(&self) -> Step {
        self.told
    }

    /// A generation starts from a step: what was told of later ones is void.
    pub(crate) fn restart(&mut self, start: Step) {
        self.told = self.told.min(start);
        self.written = self.written.min(start);
        self.newest.take_if(|newest| newest.step > start);
    }

    /// Takes what is new and returns it; a step is told of once.
    pub(crate) fn accept(&mut self, evaluations: Vec<Evaluation>) -> Vec<Evaluation> {
        let mut fresh = Vec::new();
        for evaluation in evaluations {
            if evaluation.step > self.told {
                self.told = evaluation.step;
                self.newest = Some(evaluation.clone());
                fresh.push(evaluation);
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: &[u64]) -> Vec<Evaluation> {
        let evaluation = |step: &u64| Evaluation {
            step: Step(*step),
            metrics: [("val/x".to_owned(), 0.5)].into(),
        };
        steps.iter().map(evaluation).collect()
    }

    #[test]
    fn an_evaluation_counts_once_and_again_when_its_step_is_redone() {
        let mut evaluations = Evaluations::from(Step(10));
        assert!(evaluations.accept(steps(&[10])).is_empty());
        assert_eq!(evaluations.accept(steps(&[20, 20, 30])), steps(&[20, 30]));
        evaluations.written = Step(30);
        evaluations.restart(Step(25));
        assert_eq!(
            (evaluations.told(), evaluations.written),
            (Step(25), Step(25))
        );
        assert_eq!(evaluations.newest, None);
        assert_eq!(evaluations.accept(steps(&[20, 30])), steps(&[30]));
        assert_eq!(evaluations.newest, steps(&[30]).pop());
    }
}
