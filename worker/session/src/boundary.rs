//! Which order takes effect at a step's end.

use twinspan_types::{Directive, Step, Term};

/// Remembers the last order that was carried out, so that none is carried out twice.
#[derive(Debug, Default)]
pub struct Boundary {
    done: Option<(Term, u64)>,
}

impl Boundary {
    /// The order to carry out now, given the highest directive of the vote and the step just
    /// committed. The same on every rank, since the vote is.
    pub fn due(&mut self, directive: Directive, step: Step) -> Option<Directive> {
        let fresh = self.done.is_none_or(|done| done < directive.precedence());
        if !fresh || step < directive.at_step {
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
            stop: false,
        }
    }

    #[test]
    fn an_order_takes_effect_once_at_its_step_or_the_first_after() {
        let mut boundary = Boundary::default();
        assert_eq!(boundary.due(directive(1, 5), Step(4)), None);
        assert_eq!(
            boundary.due(directive(1, 5), Step(6)),
            Some(directive(1, 5))
        );
        assert_eq!(boundary.due(directive(1, 5), Step(7)), None);
    }

    #[test]
    fn a_later_order_replaces_one_that_is_not_yet_due() {
        let mut boundary = Boundary::default();
        assert_eq!(boundary.due(directive(1, 100), Step(4)), None);
        assert_eq!(
            boundary.due(directive(2, 0), Step(5)),
            Some(directive(2, 0))
        );
        assert_eq!(boundary.due(directive(1, 100), Step(100)), None);
    }
}
