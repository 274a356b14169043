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
}

impl Progress {
    /// Before the first step of a generation.
    pub(crate) fn from(start: Step) -> Self {
        Self {
            start,
            step: start,
            ..Self::default()
        }
    }

    /// Takes the reports that follow what is known, in order, and returns them; repeated ones and
    /// those after a gap are left to be sent again.
    pub(crate) fn accept(&mut self, now: Duration, reports: Vec<StepReport>) -> Vec<StepReport> {
        let mut fresh = Vec::new();
        for report in reports {
            if report.step == self.step.next() {
                self.step = report.step;
                self.metrics = Some(report.metrics.clone());
                self.first_at.get_or_insert(now);
                fresh.push(report);
            }
        }
        fresh
    }
}
