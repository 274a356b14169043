//! When the training looks after the evaluation: at the boundaries of steps, and at the last step
//! until it is finished.

use super::Unfinished;
use crate::storage::OUTAGE;
use crate::train::Loop;
use crate::{TrainState, WorkerError};
use std::time::{Duration, Instant};
use twinspan_types::{Phase, Rank};

/// Pause between two looks whether this rank's thread is done.
const LOOK: Duration = Duration::from_millis(5);
/// How often the ranks tell each other at the last step how far they are.
const ROUND: Duration = Duration::from_millis(200);

impl Loop<'_> {
    /// Goes on with the evaluation that the generation before left unfinished, or else begins the
    /// one that is due where this one starts, which may not have been begun.
    pub(crate) fn resume_evaluation(&mut self, state: &mut TrainState) {
        match state.unfinished.clone() {
            Some(unfinished) => self.evaluations.begin(unfinished),
            None => self.evaluate_if_due(state),
        }
    }

    /// Begins the evaluation that is due at this boundary. One that is due while another is under
    /// way is passed over, but for the last step's, which comes when that one is finished.
    pub(crate) fn evaluate_if_due(&mut self, state: &mut TrainState) {
        if !self.evaluations.is_due(state.step) {
            return;
        }
        match self.evaluations.under_way() {
            None => {
                let unfinished = Unfinished::of(self.run, state);
                state.unfinished = Some(unfinished.clone());
                self.evaluations.begin(unfinished);
            }
            Some(_) if state.step >= self.config.train.steps => {}
            Some(earlier) if self.rank == Rank(0) => tracing::info!(
                "the evaluation of step {} is passed over: that of step {earlier} is under way; a \
                 higher eval.every_steps leaves it the time",
                state.step
            ),
            Some(_) => {}
        }
    }

    /// Takes what the ranks said of the evaluation with a step's votes.
    pub(crate) fn hear_of_evaluation(
        &mut self,
        said: Vec<Vec<u8>>,
        state: &mut TrainState,
    ) -> Result<(), WorkerError> {
        if let Some(evaluation) = self.evaluations.hear(said, &mut self.exchange)? {
            state.unfinished = None;
            if !evaluation.metrics.is_empty() {
                self.session.evaluated(evaluation);
            }
        }
        Ok(())
    }

    /// At the last step: waits until its weights are evaluated. Where a rank's store does not answer
    /// for [`OUTAGE`], the evaluation ends without it.
    pub(crate) fn finish_evaluations(&mut self, state: &mut TrainState) -> Result<(), WorkerError> {
        let begun = Instant::now();
        loop {
            self.evaluate_if_due(state);
            if self.evaluations.under_way().is_none() {
                return Ok(());
            }
            self.session.set_phase(Phase::Evaluation);
            self.session.check()?;
            if begun.elapsed() > OUTAGE {
                let why = format!("it was not measured within {OUTAGE:?} of the last step");
                self.evaluations.give_up(&why);
            }
            let round = Instant::now();
            while round.elapsed() < ROUND && !self.evaluations.has_to_say() {
                std::thread::sleep(LOOK);
            }
            let said = self.exchange.say(&self.evaluations.say())?;
            self.hear_of_evaluation(said, state)?;
        }
    }
}
