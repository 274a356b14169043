//! What the tests that take steps one by one ask of each.

use twinspan_types::{Directive, Step, Term};
use twinspan_worker::{NotFinite, StepOrder};

/// A step as any other, of which the coordinator wants nothing.
pub fn order() -> StepOrder {
    let directive = Directive {
        term: Term(1),
        sequence: 0,
        at_step: Step(u64::MAX),
        checkpoint: None,
        reform: false,
        stop: false,
    };
    StepOrder {
        directive,
        state_hash: None,
        changes_weights: true,
        on_not_finite: NotFinite::Retry,
        evaluation: Vec::new(),
        slow_after: None,
    }
}
