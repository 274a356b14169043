//! The orders that ranks carry out at step boundaries.

use crate::config::CoreConfig;
use twinspan_types::{CheckpointOrder, Directive, Nonce, Step, Term};

/// Numbers the orders of a term.
#[derive(Debug)]
pub(crate) struct Orders {
    term: Term,
    sequence: u64,
}

impl Orders {
    pub(crate) fn new(term: Term) -> Self {
        Self { term, sequence: 0 }
    }

    fn issue(&mut self, at_step: Step, checkpoint: Option<CheckpointOrder>) -> Directive {
        self.sequence += 1;
        Directive {
            term: self.term,
            sequence: self.sequence,
            at_step,
            checkpoint,
            reform: false,
            stop: false,
        }
    }

    /// The checkpoint after `step`: at the next multiple of `every_steps`, or at the last step,
    /// after which all ranks leave.
    pub(crate) fn checkpoint_after(
        &mut self,
        step: Step,
        config: &CoreConfig,
        attempt: Nonce,
    ) -> Directive {
        let every = config.checkpoint.every_steps.max(1);
        let next = Step((step.0 / every + 1) * every);
        let last = next >= config.total_steps;
        let checkpoint = Some(CheckpointOrder {
            attempt,
            timed: false,
        });
        Directive {
            stop: last,
            ..self.issue(next.min(config.total_steps), checkpoint)
        }
    }

    /// A checkpoint at the next boundary, after which all ranks leave.
    pub(crate) fn stop_now(&mut self, attempt: Nonce) -> Directive {
        Directive {
            stop: true,
            ..self.checkpoint_now(attempt)
        }
    }

    /// A checkpoint at the next boundary.
    pub(crate) fn checkpoint_now(&mut self, attempt: Nonce) -> Directive {
        let order = CheckpointOrder {
            attempt,
            timed: true,
        };
        self.issue(Step(0), Some(order))
    }

    /// A new generation at the next boundary; with an attempt, after a checkpoint.
    pub(crate) fn reform_now(&mut self, attempt: Option<Nonce>) -> Directive {
        let checkpoint = attempt.map(|attempt| CheckpointOrder {
            attempt,
            timed: true,
        });
        Directive {
            reform: true,
            ..self.issue(Step(0), checkpoint)
        }
    }
}
