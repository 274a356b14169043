//! How a run stops, fails and ends.

use crate::active::{Run, Stage};
use crate::core::Core;
use crate::message::{Action, Outcome};
use std::time::Duration;
use twinspan_types::{Fact, Step};

/// How long workers are waited for once they know that the run is over.
const FAREWELL: Duration = Duration::from_secs(5);

impl Core {
    /// Orders a last checkpoint at the next boundary.
    pub(crate) fn stop(&mut self) {
        match &mut self.run {
            // A generation that is between two takes its last checkpoint in the next.
            Run::Waiting(waiting) if waiting.deadline.is_none() => waiting.stop = true,
            Run::Waiting(_) => self.stop_at_checkpoint(),
            Run::Forming { stop, .. } => *stop = true,
            Run::Active(active) if matches!(active.stage, Stage::Training) => {
                active.stage = Stage::Stopping;
                active.directive = self.orders.stop_now(self.entropy.attempt());
            }
            Run::Active(_) | Run::Closing { .. } | Run::Ending { .. } | Run::Over(_) => {}
        }
    }

    pub(crate) fn stop_at_checkpoint(&mut self) {
        let checkpoint = self.checkpoints.latest();
        let step = checkpoint.map(|name| name.step).unwrap_or_default();
        self.close(Outcome::Stopped { step, checkpoint });
    }

    /// The last checkpoint is committed and everybody has gone.
    pub(crate) fn all_have_left(&mut self, step: Step) {
        self.flush();
        match step >= self.config.total_steps {
            true => {
                self.log(Fact::RunEnded { step });
                self.run = Run::Ending { step };
            }
            false => self.finish(Outcome::Stopped {
                step,
                checkpoint: self.checkpoints.latest(),
            }),
        }
    }

    /// Ends the run with a reason, to which is added how it goes on.
    pub(crate) fn fail(&mut self, reason: String) {
        let failed = matches!(
            self.run,
            Run::Over(_)
                | Run::Closing {
                    outcome: Outcome::Failed { .. },
                    ..
                }
        );
        if !failed {
            let remedy = match self.checkpoints.latest() {
                Some(name) => format!("it goes on from {}", name.directory()),
                None => "it begins again, as no checkpoint was committed".to_owned(),
            };
            self.fail_for_good(format!("{reason}. When the run is started again, {remedy}"));
        }
    }

    /// Ends the run with a reason that says all.
    pub(crate) fn fail_for_good(&mut self, reason: String) {
        self.close(Outcome::Failed { reason });
    }

    fn close(&mut self, outcome: Outcome) {
        self.run = Run::Closing {
            outcome,
            deadline: self.now + FAREWELL,
        };
    }

    pub(crate) fn finish(&mut self, outcome: Outcome) {
        self.flush();
        self.act(Action::Finish(outcome.clone()));
        self.run = Run::Over(outcome);
    }
}
