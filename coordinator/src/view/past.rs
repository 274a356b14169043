//! What earlier coordinators of the run left in its files.

use super::history::Point;
use serde_json::Value;
use twinspan_coordinator_core::LoggedWorld;
use twinspan_types::{Evaluation, Manifest, Quarantine, Skip, Step};

/// The run before this coordinator.
#[derive(Debug, Default)]
pub struct Past {
    /// Committed steps in order.
    pub points: Vec<Point>,
    /// Finished evaluations in the order of their steps.
    pub evaluations: Vec<Evaluation>,
    /// Samples that could not be used, in the order of their steps.
    pub skips: Vec<Skip>,
    /// Shards that were given up.
    pub quarantines: Vec<Quarantine>,
    /// Checkpoints in force, in the order of their records.
    pub manifests: Vec<Manifest>,
    /// The last generation, if its workers may be at work still.
    pub world: Option<LoggedWorld>,
}

impl Past {
    /// With these lines of the metrics, one for each committed step.
    #[must_use]
    pub fn with_steps(mut self, lines: &[Value]) -> Self {
        self.points = lines.iter().filter_map(point).collect();
        self.points.sort_by_key(|point| point.step);
        self
    }

    /// The last step.
    pub fn step(&self) -> Step {
        let last = self.points.last().map(|point| point.step);
        last.unwrap_or_default()
    }
}

/// One line of `metrics.jsonl`; a number that is none there, which was not finite, is none here.
fn point(line: &Value) -> Option<Point> {
    let number = |name: &str| line[name].as_f64().unwrap_or(f64::NAN);
    Some(Point {
        step: Step(line["step"].as_u64()?),
        loss: number("train/loss"),
        samples_per_second: number("train/samples_per_second"),
        logit_scale: number("train/scale"),
        lr: number("train/lr"),
        grad_norm: number("train/grad_norm"),
    })
}
