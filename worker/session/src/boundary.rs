//! Which order takes effect at a step's end.

use twinspan_types::{Directive, RunConfig, Step, Term};

/// Remembers the last order that was carried out, so that none is carried out twice.
#[derive(Debug)]
pub struct Boundary {
    every: u64,
    last: Step,
    done: Option<(Term, u64)>,
}

impl Boundary {
    /// The boundaries of a run.
    #[must_use]
    pub fn new(config: &RunConfig) -> Self {
        Self {
            every: config.checkpoint.every_steps.max(1),
            last: config.train.steps,
            done: None,
        }
    }

    /// The order to carry out now, given the highest directive of the vote and the step just
    /// committed. The same on every rank, since the vote is.
    ///
    /// An order that comes after its step waits for the next multiple of
    /// `checkpoint.every_steps`, so that checkpoints stand at multiples however fast the steps
    /// are; an order to stop, to reform, or for a checkpoint that time has made due waits for
    /// nothing. At the last step nothing but the run's last checkpoint is written.
    pub fn due(&mut self, directive: Directive, step: Step) -> Option<Directive> {
        let fresh = self.done.is_none_or(|done| done < directive.precedence());
        let last = step >= self.last;
        let regular = step.0.is_multiple_of(self.every);
        let timed = directive.checkpoint.is_some_and(|order| order.timed);
        let at_once = timed || directive.stop || directive.reform;
        let due = match last {
            true => directive.stop || directive.reform,
            false => regular || at_once,
        };
        if !fresh || step < directive.at_step || !due {
            return None;
        }
        self.done = Some(directive.precedence());
        Some(directive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directive(sequence: u64, at_step: u64) -> Directive {
        Directive {
            term: Term(1),
            sequence,
            at_step: Step(at_step),
            checkpoint: None,
            reform: false,
            stop: false,
        }
    }

    /// Of a run of 95 steps with a checkpoint every 10.
    fn boundary() -> Boundary {
        Boundary {
            every: 10,
            last: Step(95),
            done: None,
        }
    }

    #[test]
    fn an_order_takes_effect_once() {
        let mut boundary = boundary();
        let order = directive(1, 20);
        let steps = [19, 20, 21, 30].map(|step| boundary.due(order, Step(step)));
        assert_eq!(steps, [None, Some(order), None, None]);
    }

    #[test]
    fn an_order_that_comes_late_waits_for_the_next_multiple_and_is_void_at_the_last_step() {
        let mut boundary = boundary();
        let order = directive(1, 20);
        let steps = [23, 29, 30].map(|step| boundary.due(order, Step(step)));
        assert_eq!(steps, [None, None, Some(order)]);
        let order = directive(2, 90);
        let steps = [91, 94, 95].map(|step| boundary.due(order, Step(step)));
        assert_eq!(steps, [None, None, None]);
        let last = Directive {
            stop: true,
            ..directive(3, 0)
        };
        assert_eq!(boundary.due(last, Step(95)), Some(last));
    }

    #[test]
    fn an_order_to_stop_replaces_one_that_is_not_yet_due_and_takes_effect_at_once() {
        let mut boundary = boundary();
        let stop = Directive {
            stop: true,
            ..directive(2, 0)
        };
        assert_eq!(boundary.due(directive(1, 90), Step(4)), None);
        assert_eq!(boundary.due(stop, Step(5)), Some(stop));
        assert_eq!(boundary.due(directive(1, 90), Step(90)), None);
    }
}
