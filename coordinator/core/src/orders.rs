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

    fn issue(&mut self, at_step: Step, attempt: Nonce, stop: bool) -> Directive {
        self.sequence += 1;
        Directive {
            term: self.term,
            sequence: self.sequence,
            at_step,
            checkpoint: Some(CheckpointOrder { attempt }),
            stop,
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
        self.issue(next.min(config.total_steps), attempt, last)
    }

    /// A checkpoint at the next boundary, after which all ranks leave.
    pub(crate) fn stop_now(&mut self, attempt: Nonce) -> Directive {
        self.issue(Step(0), attempt, true)
    }
}
