//! The run as a whole.

use super::history::EvaluationDocument;
use serde::Serialize;
use twinspan_types::{RunState, RunStatus, StepMetrics, Straggler};

/// What does not change while the run goes on.
#[derive(Debug)]
pub struct Identity {
    /// The run's name.
    pub run: String,
    /// Where its files are.
    pub url: String,
    /// Workers that are wanted.
    pub workers: u32,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct RunDocument<'v> {
    run: &'v str,
    url: &'v str,
    version: &'static str,
    state: &'static str,
    message: &'v str,
    term: u64,
    generation: u64,
    world_size: usize,
    step: u64,
    start_step: u64,
    total_steps: u64,
    global_batch: u64,
    training_seconds: f64,
    seconds_left: Option<f64>,
    metrics: Option<&'v StepMetrics>,
    evaluation: Option<EvaluationDocument<'v>>,
    checkpoint: Option<&'v str>,
    skipped: u64,
    straggler: Option<StragglerDocument<'v>>,
}

#[derive(Debug, Serialize)]
struct StragglerDocument<'v> {
    rank: u32,
    worker: &'v str,
    host: &'v str,
    phase: &'static str,
    excess_seconds: f64,
    from_step: u64,
    through_step: u64,
}

/// Seconds of a step, smoothed.
#[derive(Debug, Default)]
pub struct Pace(Option<f64>);

/// The share of the newest step in the smoothed pace.
const NEWEST: f64 = 0.1;

impl Pace {
    /// A step took this long.
    pub fn stepped(&mut self, seconds: f64) {
        let pace = self.0.get_or_insert(seconds);
        *pace += (seconds - *pace) * NEWEST;
    }

    /// How long the run takes to its last step; none while it makes no steps.
    fn left(&self, status: &RunStatus) -> Option<f64> {
        let steps = status.total_steps.0.saturating_sub(status.step.0);
        let pace = self.0.filter(|_| status.state == RunState::Training);
        pace.map(|pace| pace * steps as f64)
    }
}

impl Identity {
    /// What is shown.
    pub fn document<'v>(
        &'v self,
        status: &'v RunStatus,
        world_size: usize,
        pace: &Pace,
    ) -> RunDocument<'v> {
        RunDocument {
            run: &self.run,
            url: &self.url,
            version: env!("CARGO_PKG_VERSION"),
            state: state_name(status.state),
            message: &status.message,
            term: status.term.0,
            generation: status.generation.0,
            world_size,
            step: status.step.0,
            start_step: status.start.0,
            total_steps: status.total_steps.0,
            global_batch: status.global_batch,
            training_seconds: status.training_time.as_secs_f64(),
            seconds_left: pace.left(status),
            metrics: status.metrics.as_ref(),
            evaluation: status.evaluation.as_ref().map(Into::into),
            checkpoint: status.checkpoint.as_deref(),
            skipped: status.skipped,
            straggler: status.straggler.as_ref().map(Into::into),
        }
    }
}

impl<'v> From<&'v Straggler> for StragglerDocument<'v> {
    fn from(straggler: &'v Straggler) -> Self {
        Self {
            rank: straggler.rank.0,
            worker: &straggler.worker.0,
            host: &straggler.host,
            phase: straggler.phase.as_str(),
            excess_seconds: straggler.excess.as_secs_f64(),
            from_step: straggler.from.0,
            through_step: straggler.through.0,
        }
    }
}

/// All states, by the names that they are shown under.
pub const STATES: [(RunState, &str); 6] = [
    (RunState::WaitingForWorkers, "waiting_for_workers"),
    (RunState::Training, "training"),
    (RunState::Stopping, "stopping"),
    (RunState::Stopped, "stopped"),
    (RunState::Ended, "ended"),
    (RunState::Failed, "failed"),
];

fn state_name(state: RunState) -> &'static str {
    let name = STATES.iter().find(|(known, _)| *known == state);
    name.map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::sample;
    use twinspan_types::Step;

    #[test]
    fn the_time_left_follows_the_pace_and_is_told_while_steps_are_made() {
        let mut pace = Pace::default();
        let mut status = sample::status();
        (status.step, status.total_steps) = (Step(10), Step(110));
        status.state = RunState::Training;
        assert_eq!(pace.left(&status), None);
        pace.stepped(0.5);
        assert_eq!(pace.left(&status), Some(50.0));
        pace.stepped(1.5);
        assert_eq!(pace.left(&status), Some(60.0));
        status.state = RunState::Ended;
        assert_eq!(pace.left(&status), None);
    }
}
