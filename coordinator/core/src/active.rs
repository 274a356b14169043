//! The phases of a run; what a phase knows lives in its variant.

use crate::attempts::Attempts;
use crate::message::Outcome;
use std::time::Duration;
use twinspan_types::{Directive, Ended, Step, World};

/// Where a run stands.
#[derive(Debug)]
pub(crate) enum Run {
    /// For the workers of the next generation.
    Waiting(Waiting),
    /// A world was dealt; nobody sees it before its record is logged.
    Forming {
        /// The world.
        world: Box<World>,
        /// Whether the run was told to stop meanwhile.
        stop: bool,
    },
    /// A generation is at work.
    Active(Box<Active>),
    /// The end is decided; workers are told and waited for.
    Closing {
        /// How it ends.
        outcome: Outcome,
        /// When they have been waited for long enough.
        deadline: Duration,
    },
    /// The last step's record is being logged.
    Ending {
        /// The last step.
        step: Step,
    },
    /// Finished.
    Over(Outcome),
}

/// A run between two generations, or before the first.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// When the wait for the first generation has been too long.
    pub(crate) deadline: Option<Duration>,
    /// Since when it waits.
    pub(crate) since: Duration,
    /// Whether the operator was told that it waits.
    pub(crate) told: bool,
    /// Whether the run was told to stop: the next generation's first boundary is the last.
    pub(crate) stop: bool,
    /// Whether it goes back to its newest checkpoint, whatever states the workers have.
    pub(crate) rollback: bool,
    /// The generation of an earlier term whose workers may be at work still.
    pub(crate) adoptable: Option<Box<World>>,
}

/// A generation at work.
#[derive(Debug)]
pub(crate) struct Active {
    /// As it was formed.
    pub(crate) world: World,
    /// The order in force.
    pub(crate) directive: Directive,
    /// Checkpoints that were ordered.
    pub(crate) attempts: Attempts,
    /// How far it is.
    pub(crate) stage: Stage,
    /// Of a generation that an earlier term formed: until when all its members must have come.
    pub(crate) complete_by: Option<Duration>,
}

/// How far a generation is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// Stepping.
    Training,
    /// Told to stop before the last step.
    Stopping,
    /// Its last checkpoint exists; the ranks deliver what is left and leave.
    Leaving {
        /// The step of that checkpoint.
        step: Step,
        /// When they have been waited for long enough.
        deadline: Duration,
    },
}

impl Run {
    /// What workers are told once the run is over for them.
    pub(crate) fn ended(&self) -> Option<Ended> {
        let outcome = match self {
            Self::Waiting(_) | Self::Forming { .. } | Self::Active(_) => return None,
            Self::Ending { step } => return Some(at_last_step(*step)),
            Self::Closing { outcome, .. } | Self::Over(outcome) => outcome,
        };
        Some(match outcome {
            Outcome::Ended { step, .. } => at_last_step(*step),
            Outcome::Stopped { step, .. } => stopped(*step),
            Outcome::Failed { reason } => Ended {
                failed: true,
                reason: reason.clone(),
            },
        })
    }
}

/// The end of a run in good order.
pub(crate) fn stopped_at(step: Step, last: Step) -> Ended {
    match step >= last {
        true => at_last_step(step),
        false => stopped(step),
    }
}

fn stopped(step: Step) -> Ended {
    Ended {
        failed: false,
        reason: format!("stopped at step {step}; start the run again to go on"),
    }
}

fn at_last_step(step: Step) -> Ended {
    Ended {
        failed: false,
        reason: format!("the run has reached its last step, {step}"),
    }
}
