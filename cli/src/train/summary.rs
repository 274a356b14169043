//! What a finished run gave, as a table or JSON.

use crate::eval;
use crate::exit::{Failure, failed};
use serde::Serialize;
use std::time::Duration;
use twinspan_proto::v1;
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
    zero_shot: Option<ZeroShotReport>,
    retrieval: Option<RetrievalReport>,
}

impl Summary {
    /// From the last look at the run; none when the run had ended before.
    pub fn new(
        config: &RunConfig,
        last: Option<&v1::GetStatusResponse>,
        wall: Duration,
        checkpoint: &Option<String>,
    ) -> Self {
        let trained =
            last.filter(|look| look.step > look.start_step && look.training_seconds > 0.0);
        let rate = trained.map(|look| {
            let samples = (look.step - look.start_step) * look.global_batch;
            samples as f64 / look.training_seconds
        });
        Self {
            run: config.url(),
            step: last.map_or(config.train.steps.0, |look| look.step),
            checkpoint: checkpoint
                .as_ref()
                .map(|directory| format!("{}/{directory}", config.url())),
            loss: last
                .and_then(|look| look.metrics.as_ref())
                .map(|metrics| metrics.loss),
            samples_per_second: rate,
            training_seconds: trained.map(|look| look.training_seconds),
            wall_seconds: wall.as_secs_f64(),
            skipped: last.map_or(0, |look| look.skipped),
            zero_shot: None,
            retrieval: None,
        }
    }

    /// Measures the final checkpoint on the sets that the run file names.
    pub fn evaluate(mut self, config: &RunConfig) -> Result<Self, Failure> {
        let Some(checkpoint) = &self.checkpoint else {
            return Ok(self);
        };
        if config.eval.zero_shot.is_none() && config.eval.retrieval.is_none() {
            return Ok(self);
        }
        eprintln!("evaluating {checkpoint}");
        let model = EvalModel::load(checkpoint).map_err(failed)?;
        if let Some(url) = &config.eval.zero_shot {
            self.zero_shot = Some(eval::zero_shot(&model, url)?);
        }
        if let Some(url) = &config.eval.retrieval {
            self.retrieval = Some(eval::retrieval(&model, url)?);
        }
        Ok(self)
    }

    /// Prints the table, or one JSON object.
    pub fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::json!(self));
            return;
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
        rows.extend(self.zero_shot.iter().flat_map(eval::zero_shot_rows));
        rows.extend(self.retrieval.iter().flat_map(eval::retrieval_rows));
        println!("{}", eval::table(&rows));
    }
}
