//! What a finished run gave, as a table or JSON.

use super::chaos::Deeds;
use crate::eval::{percent, table};
use crate::exit::{Failure, failed};
use crate::say;
use anyhow::anyhow;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use twinspan_coordinator::Trained;
use twinspan_types::config::{EvalSource, EvalTask};
use twinspan_types::{Evaluation, RunConfig};

/// The result of a run.
#[derive(Serialize)]
pub struct Summary<'r> {
    run: String,
    step: u64,
    checkpoint: Option<String>,
    loss: Option<f64>,
    samples_per_second: Option<f64>,
    training_seconds: Option<f64>,
    wall_seconds: f64,
    skipped: u64,
    /// A picture of the run's curves.
    curves: Option<String>,
    /// Its sampled steps, for Perfetto.
    trace: String,
    chaos: Option<Deeds>,
    /// The last step's, as `metrics.jsonl` has it.
    evaluation: Option<Value>,
    #[serde(skip)]
    figures: Figures<'r>,
}

/// What the last step's weights are worth.
struct Figures<'r> {
    config: &'r RunConfig,
    evaluation: Option<&'r Evaluation>,
}

impl<'r> Summary<'r> {
    /// From what the run's files say, and what chaos did to its processes.
    pub fn new(
        config: &'r RunConfig,
        trained: &'r Trained,
        wall: Duration,
        checkpoint: &Option<String>,
        chaos: Option<Deeds>,
    ) -> Self {
        let seconds = Some(trained.seconds).filter(|seconds| *seconds > 0.0);
        let samples = trained.step.0 * u64::from(config.train.global_batch);
        let evaluation = trained.evaluation.as_ref();
        let evaluation = evaluation.filter(|one| one.step == trained.step);
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
            // One point is no curve.
            curves: (trained.step.0 > 1)
                .then(|| format!("{}/{}", config.url(), twinspan_coordinator::CURVES)),
            trace: format!("{}/{}", config.url(), twinspan_coordinator::TRACE),
            chaos,
            evaluation: evaluation.map(|Evaluation { step, metrics }| {
                let mut figures = json!(metrics);
                figures["step"] = json!(step);
                figures
            }),
            figures: Figures { config, evaluation },
        }
    }

    /// That the last step's weights were measured on every set of the run file.
    ///
    /// # Errors
    /// They were not on some: those are named, with what measures them.
    pub fn check_evaluation(&self) -> Result<(), Failure> {
        let sets = self.figures.config.eval.sets.iter();
        let missing = sets.filter(|set| self.figures.rows(set).is_none());
        let checkpoint = self.checkpoint.as_deref().unwrap_or("CHECKPOINT");
        let missing = missing.map(|EvalSource { name, task }| match task {
            EvalTask::ZeroShot(url) => {
                format!("\n  {name}: twinspan eval zero-shot {checkpoint} '{url}'")
            }
            EvalTask::Retrieval(url) => {
                format!("\n  {name}: twinspan eval retrieval {checkpoint} '{url}'")
            }
        });
        let missing: String = missing.collect();
        match missing.is_empty() {
            true => Ok(()),
            false => Err(failed(anyhow!(
                "the weights of step {} were not measured on all sets (a warning of the run says \
                 why, or it had --no-eval); these commands do so:{missing}",
                self.step
            ))),
        }
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
        row("curves", self.curves.clone());
        row(
            "chaos",
            self.chaos
                .map(|Deeds { killed, stopped }| format!("{killed} killed, {stopped} stopped")),
        );
        let sets = self.figures.config.eval.sets.iter();
        rows.extend(sets.filter_map(|set| self.figures.rows(set)).flatten());
        say::result(table(&rows))
    }
}

impl Figures<'_> {
    /// A set's rows of the table; none where it was not measured.
    fn rows(&self, set: &EvalSource) -> Option<Vec<(String, String)>> {
        let metrics = &self.evaluation?.metrics;
        let figure = |figure: &str| {
            let value = metrics.get(&self.config.eval.metric(set, figure));
            value.map(|share| percent(*share))
        };
        let row = |what: &str, value: String| (format!("{} {what}", set.name), value);
        Some(match &set.task {
            EvalTask::ZeroShot(_) => vec![
                row("zero-shot top-1", figure("zeroshot-val-top1")?),
                row("zero-shot top-5", figure("zeroshot-val-top5")?),
                row("mean per-class recall", figure("mean_per_class_recall")?),
            ],
            EvalTask::Retrieval(_) => {
                let directions = [
                    ("image_to_text", "image-to-text"),
                    ("text_to_image", "text-to-image"),
                ];
                let rows = directions.into_iter().map(|(direction, name)| {
                    let recalls = ["R@1", "R@5", "R@10"].map(|at| format!("{direction}_{at}"));
                    let recalls = recalls.iter().map(|name| figure(name));
                    let recalls: Vec<String> = recalls.collect::<Option<_>>()?;
                    let what = format!("{name} R@1 / R@5 / R@10");
                    Some(row(&what, recalls.join(" / ")))
                });
                rows.collect::<Option<_>>()?
            }
        })
    }
}
