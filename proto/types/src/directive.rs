//! What the coordinator asks of all ranks at a step boundary.

use crate::{Nonce, Step, Term};
use serde::{Deserialize, Serialize};

/// An order that takes effect on every rank at the same step boundary: the first one at which the
/// step vote carries it, `at_step` has been reached and, unless the order is to stop, to reform or
/// for a checkpoint that time has made due, the step is a multiple of `checkpoint.every_steps` or the
/// last. A later `(term, sequence)` replaces an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directive {
    /// The term of the coordinator that gave it.
    pub term: Term,
    /// Its number within the term, from 1.
    pub sequence: u64,
    /// The first step at whose end it applies.
    pub at_step: Step,
    /// A checkpoint to write at that step.
    pub checkpoint: Option<CheckpointOrder>,
    /// Whether every rank leaves the generation after that step, for another one to be formed.
    pub reform: bool,
    /// Whether every rank leaves the run after that step (and after the checkpoint is uploaded).
    pub stop: bool,
}

/// The attempt that a checkpoint's directory is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointOrder {
    /// Goes into the directory's name, so that a redo never writes over another attempt's parts.
    pub attempt: Nonce,
    /// Whether `checkpoint.every_minutes` has made it due: it waits for no multiple of steps.
    pub timed: bool,
}

impl Directive {
    /// The order of directives: a higher term wins, then a higher sequence.
    #[must_use]
    pub fn precedence(&self) -> (Term, u64) {
        (self.term, self.sequence)
    }

    /// Whether it was given because the checkpoint before it, which `term` had ordered, is
    /// committed: a rank that has not heard of that need not wait for it, as the coordinator may be
    /// away. Orders to stop, to reform, by time, and those of another term wait for nobody.
    #[must_use]
    pub fn follows_commit(&self, term: Term) -> bool {
        let timed = self.checkpoint.is_some_and(|order| order.timed);
        self.term == term && !self.stop && !self.reform && !timed
    }
}
