//! What a finished run gave, as a table or JSON.

use super::chaos::Deeds;
use crate::eval;
use crate::exit::{Failure, failed};
use crate::say;
use serde::Serialize;
use std::time::Duration;
use twinspan_coordinator::Trained;
use twinspan_types::RunConfig;
use twinspan_worker::eval::{EvalModel, RetrievalReport, ZeroShotReport};

/// The result of a run.
#[derive(Serialize)]
pub struct Summary {
    run: String,
    step: u64,
    checkpoint: Option<String>,
    loss: Option<f64>,
    samples_per_second: Option<f64>,
    training_seconds: Option<f64>,
    wall_seconds: f64,
    skipped: u64,
    chaos: Option<Deeds>,
    zero_shot: Option<ZeroShotReport>,
    retrieval: Option<RetrievalReport>,
}

impl Summary {
    /// From what the run's files say, and what chaos did to its processes.
    pub fn new(
        config: &RunConfig,
        trained: &Trained,
        wall: Duration,
        checkpoint: &Option<String>,
        chaos: Option<Deeds>,
    ) -> Self {
        let seconds = Some(trained.seconds).filter(|seconds| *seconds > 0.0);
        let samples = trained.step.0 * u64::from(config.train.global_batch);
        Self {
            run: config.url(),
            step: trained.step.0,
            checkpoint: checkpoint
                .as_ref()
                .map(|directory| format!("{}/{directory}", config.url())),
            loss: trained.loss,
            samples_per_second: seconds.map(|seconds| samples as f64 / seconds),
            training_seconds: seconds,
            wall_seconds: wall.as_secs_f64(),
            skipped: trained.skipped,
            chaos,
            zero_shot: None,
            retrieval: None,
        }
    }

    /// Measures the final checkpoint on the sets that the run file names.
    ///
    /// # Errors
    /// As far as it came the result stands; the failure is an attempt's, whatever its cause.
    pub fn evaluate(&mut self, config: &RunConfig) -> Result<(), Failure> {
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(());
        };
        if config.eval.zero_shot.is_none() && config.eval.retrieval.is_none() {
            return Ok(());
        }
        say::log(format!("evaluating {checkpoint}"));
        let model = EvalModel::load(checkpoint).map_err(failed)?;
        if let Some(url) = &config.eval.zero_shot {
            self.zero_shot = Some(eval::zero_shot(&model, url).map_err(Failure::of_attempt)?);
        }
        if let Some(url) = &config.eval.retrieval {
            self.retrieval = Some(eval::retrieval(&model, url).map_err(Failure::of_attempt)?);
        }
        Ok(())
    }

    /// Prints the table, or one JSON object.
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return say::result(serde_json::json!(self));
        }
        let mut rows = vec![("steps".to_owned(), self.step.to_string())];
        let mut row = |name: &str, value: Option<String>| {
            rows.extend(value.map(|value| (name.to_owned(), value)));
        };
        row("last loss", self.loss.map(|loss| format!("{loss:.3}")));
        row(
            "samples/s",
            self.samples_per_second.map(|rate| format!("{rate:.0}")),
        );
        row(
            "training time",
            self.training_seconds
                .map(|seconds| format!("{seconds:.0} s")),
        );
        row("whole time", Some(format!("{:.0} s", self.wall_seconds)));
        row(
            "skipped samples",
            (self.skipped > 0).then(|| self.skipped.to_string()),
        );
        row("checkpoint", self.checkpoint.clone());
        row(
            "chaos",
            self.chaos
                .map(|Deeds { killed, stopped }| format!("{killed} killed, {stopped} stopped")),
        );
        rows.extend(self.zero_shot.iter().flat_map(eval::zero_shot_rows));
        rows.extend(self.retrieval.iter().flat_map(eval::retrieval_rows));
        say::result(eval::table(&rows))
    }
}
