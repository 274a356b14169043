//! The steps that the run has committed, as far as they were reported.

use std::time::Duration;
use twinspan_types::{Step, StepMetrics, StepReport};

/// The reported steps of a generation, without a gap.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The step that the generation started from.
    pub(crate) start: Step,
    /// Every step up to this one was reported.
    pub(crate) step: Step,
    /// The last step's metrics.
    pub(crate) metrics: Option<StepMetrics>,
    /// When the first step of the generation was reported.
    pub(crate) first_at: Option<Duration>,
    /// Seconds of a step, smoothed.
    pace: Option<f64>,
}

/// The share of the newest step in the smoothed pace.
const NEWEST: f64 = 0.1;

impl Progress {
    /// A generation starts from a step. Steps up to it that were not reported yet still will be.
    pub(crate) fn restart(&mut self, start: Step) {
        let step = self.step.min(start);
        let pace = self.pace;
        *self = Self {
            start,
            step,
            pace,
            ..Self::default()
        };
    }

    /// Before the first step of a run or a term.
    pub(crate) fn from(start: Step) -> Self {
        Self {
            start,
            step: start,
            ..Self::default()
        }
    }

    /// Steps that the run takes in this time at its present pace; 0 before its first step.
    pub(crate) fn steps_within(&self, time: Duration) -> u64 {
        match self.pace {
            // A conversion from a float saturates.
            Some(pace) if pace > 0.0 => (time.as_secs_f64() / pace).ceil() as u64,
            _ => 0,
        }
    }

    /// Takes the reports that follow what is known, in order, and returns them; repeated ones and
    /// those after a gap are left to be sent again.
    pub(crate) fn accept(&mut self, now: Duration, reports: Vec<StepReport>) -> Vec<StepReport> {
        let mut fresh = Vec::new();
        for report in reports {
            if report.step == self.step.next() {
                self.step = report.step;
                let seconds = report.metrics.batch_time;
                let pace = self.pace.get_or_insert(seconds);
                *pace += (seconds - *pace) * NEWEST;
                self.metrics = Some(report.metrics.clone());
                self.first_at.get_or_insert(now);
                fresh.push(report);
            }
        }
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(step: u64, batch_time: f64) -> StepReport {
        let metrics = StepMetrics {
            loss: 1.0,
            logit_scale: 14.0,
            lr: 1e-3,
            grad_norm: 1.0,
            data_time: 0.0,
            batch_time,
            samples_per_second: 1.0,
        };
        StepReport {
            step: Step(step),
            metrics,
            cursors: Vec::new(),
            sample_hash: 0,
            skips: Vec::new(),
        }
    }

    #[test]
    fn a_time_holds_as_many_steps_as_the_pace_says() {
        let mut progress = Progress::from(Step(0));
        let minute = Duration::from_secs(60);
        assert_eq!(progress.steps_within(minute), 0);
        progress.accept(
            Duration::ZERO,
            (1..4).map(|step| report(step, 0.5)).collect(),
        );
        assert_eq!(progress.steps_within(minute), 120);
        progress.accept(
            Duration::ZERO,
            (4..200).map(|step| report(step, 0.25)).collect(),
        );
        assert_eq!(progress.steps_within(minute), 240);
    }
}
