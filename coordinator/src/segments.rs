//! Metrics and skips: put-if-absent segments while the run goes on, joined into one file when it
//! pauses or ends.

use crate::CoordinatorError;
use crate::curves;
use crate::run_dir::skips_up_to;
use crate::tensorboard::EventFile;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};
use twinspan_data::Directory;
use twinspan_types::config::{EvalConfig, ReportTo};
use twinspan_types::{
    Evaluation, Fact, Generation, LogRecord, RunConfig, Skip, Step, StepReport, Term,
};

/// The picture of a run's curves.
pub const CURVES: &str = "curves.svg";

/// What a committed step's line of the metrics has, and an evaluation's has not.
const SAMPLE_HASH: &str = "sample_hash";

/// Lines that wait to be written.
pub struct Segments {
    files: Directory,
    /// Goes into the names: a coordinator that was taken for dead may write of the same steps.
    term: Term,
    run: String,
    workers: u32,
    global_batch: u64,
    generation: Generation,
    metrics: Vec<StepReport>,
    evaluations: Vec<Evaluation>,
    skips: Vec<Skip>,
    written: u64,
    /// For TensorBoard, where it is asked for.
    events: Option<EventFile>,
}

impl Segments {
    pub fn new(files: Directory, term: Term, config: &RunConfig) -> Self {
        Self {
            files,
            term,
            run: config.run.clone(),
            workers: config.cluster.workers.0,
            global_batch: u64::from(config.train.global_batch),
            generation: Generation(0),
            metrics: Vec::new(),
            evaluations: Vec::new(),
            skips: Vec::new(),
            written: 0,
            events: config
                .telemetry
                .report_to
                .contains(&ReportTo::Tensorboard)
                .then(EventFile::default),
        }
    }

    pub fn add_metrics(&mut self, generation: Generation, steps: Vec<StepReport>) {
        self.generation = generation;
        if let Some(events) = &mut self.events {
            events.add_steps(unix_seconds(), &steps);
        }
        self.metrics.extend(steps);
    }

    pub fn add_evaluations(&mut self, generation: Generation, evaluations: Vec<Evaluation>) {
        self.generation = generation;
        if let Some(events) = &mut self.events {
            events.add_evaluations(unix_seconds(), &evaluations);
        }
        self.evaluations.extend(evaluations);
    }

    pub fn add_skips(&mut self, generation: Generation, skips: Vec<Skip>) {
        self.generation = generation;
        self.skips.extend(skips);
    }

    /// Writes what waits.
    pub async fn flush(&mut self) -> Result<(), CoordinatorError> {
        // Before what is acknowledged: of a coordinator that dies between, the next one tells again.
        self.flush_events().await;
        let (generation, term) = (self.generation.0, self.term);
        if let Some(first) = self.metrics.first() {
            let path = format!("metrics/{generation:08}-{:08}-{term}.jsonl", first.step.0);
            let lines: String = self
                .metrics
                .iter()
                .map(|report| self.line(report))
                .collect();
            self.files.create(&path, lines.into()).await?;
            self.metrics.clear();
        }
        if let Some(first) = self.evaluations.first() {
            // Behind the segment that begins at the same step.
            let path = format!(
                "metrics/{generation:08}-{:08}-{term}-eval.jsonl",
                first.step.0
            );
            let lines = self.evaluations.iter();
            let lines: String = lines.map(|one| self.evaluation_line(one)).collect();
            self.files.create(&path, lines.into()).await?;
            self.evaluations.clear();
        }
        if !self.skips.is_empty() {
            let path = format!("skipped/{generation:08}-{:08}-{term}.jsonl", self.written);
            let lines: String = self
                .skips
                .iter()
                .map(|skip| format!("{}\n", json!(skip)))
                .collect();
            self.files.create(&path, lines.into()).await?;
            self.skips.clear();
            self.written += 1;
        }
        Ok(())
    }

    /// Writes what TensorBoard is to show. The metrics' own files are what counts: a store that does
    /// not take these costs the curves' points, and no more.
    async fn flush_events(&mut self) {
        let Some(bytes) = self.events.as_mut().and_then(EventFile::take) else {
            return;
        };
        // TensorBoard reads the files of a folder in the order of their names.
        let path = format!(
            "tensorboard/events.out.tfevents.{:.6}.term-{}",
            unix_seconds(),
            self.term
        );
        if let Err(error) = self.files.create(&path, bytes.into()).await {
            tracing::warn!("what TensorBoard is to show was not written: {error}");
        }
    }

    /// One line of `metrics.jsonl`, in open_clip's names.
    fn line(&self, report: &StepReport) -> String {
        let m = &report.metrics;
        let epoch = report
            .cursors
            .iter()
            .map(|cursor| cursor.epoch.0)
            .min()
            .unwrap_or(0);
        let line = json!({
            "step": report.step.0,
            "samples": report.step.0 * self.global_batch,
            "epoch": epoch,
            "train/loss": m.loss,
            "train/contrastive_loss": m.loss,
            "train/scale": m.logit_scale,
            "train/logit_scale": m.logit_scale.ln(),
            "train/lr": m.lr,
            "train/grad_norm": m.grad_norm,
            "train/data_time": m.data_time,
            "train/batch_time": m.batch_time,
            "train/samples_per_second": m.samples_per_second,
            "train/samples_per_second_per_gpu": m.samples_per_second / f64::from(self.workers),
            SAMPLE_HASH: format!("{:016x}", report.sample_hash),
        });
        format!("{line}\n")
    }

    /// One line of `metrics.jsonl` that belongs to no step's update.
    fn evaluation_line(&self, evaluation: &Evaluation) -> String {
        let mut line = json!(evaluation.metrics);
        line["step"] = json!(evaluation.step.0);
        line["samples"] = json!(evaluation.step.0 * self.global_batch);
        format!("{line}\n")
    }

    /// Draws what the metrics look like. Without the picture nothing is lost.
    async fn draw_curves(&self, records: &[LogRecord]) -> Result<(), CoordinatorError> {
        let metrics = metrics(&self.files, records).await?;
        match curves::draw(&self.run, &metrics.steps, &metrics.evaluations) {
            Ok(Some(svg)) => self.files.write(CURVES, svg.into()).await?,
            Ok(None) => {}
            Err(error) => tracing::warn!("the curves were not drawn: {error}"),
        }
        Ok(())
    }

    /// Joins all segments of the surviving lineage into `metrics.jsonl` and `skipped.jsonl`.
    pub async fn join(&self) -> Result<(), CoordinatorError> {
        let records = crate::log::replay(&self.files).await?;
        for (directory, file) in [("metrics", "metrics.jsonl"), ("skipped", "skipped.jsonl")] {
            let lines: Vec<Value> = surviving(&self.files, &records, directory).await?;
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            self.files.write(file, text.into()).await?;
        }
        self.draw_curves(&records).await
    }
}

/// Seconds since 1970.
fn unix_seconds() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64()
}

/// Skips of the surviving lineage up to the step that a term starts from.
pub async fn skips(
    files: &Directory,
    records: &[LogRecord],
    start: Step,
) -> Result<Vec<Skip>, CoordinatorError> {
    Ok(skips_up_to(
        surviving(files, records, "skipped").await?,
        start,
    ))
}

/// Whether a line of the metrics is a committed step's; else it is an evaluation's.
fn is_step(line: &Value) -> bool {
    line.get(SAMPLE_HASH).is_some()
}

/// What survives of a run's metrics.
pub struct Metrics {
    /// The lines of committed steps.
    pub steps: Vec<Value>,
    /// Finished evaluations.
    pub evaluations: Vec<Evaluation>,
    /// Where they lie.
    url: String,
}

/// Reads the surviving metrics.
pub async fn metrics(
    files: &Directory,
    records: &[LogRecord],
) -> Result<Metrics, CoordinatorError> {
    let lines: Vec<Value> = surviving(files, records, "metrics").await?;
    let (steps, evaluations): (Vec<Value>, Vec<Value>) = lines.into_iter().partition(is_step);
    let mut metrics = Metrics {
        steps,
        evaluations: Vec::new(),
        url: files.url_of("metrics"),
    };
    let parsed: Option<_> = evaluations.iter().map(evaluation).collect();
    metrics.evaluations = parsed.ok_or_else(|| {
        metrics.corrupt("an evaluation's line holds no step or what is no number")
    })?;
    Ok(metrics)
}

fn evaluation(line: &Value) -> Option<Evaluation> {
    let step = Step(line["step"].as_u64()?);
    let figures = line.as_object()?.iter();
    let figures = figures.filter(|(name, _)| name.starts_with(EvalConfig::METRICS));
    let metrics = figures.map(|(name, value)| Some((name.clone(), value.as_f64()?)));
    let metrics = metrics.collect::<Option<_>>()?;
    Some(Evaluation { step, metrics })
}

impl Metrics {
    /// Each step and the hash of its samples.
    pub fn sample_hashes(&self) -> Result<Vec<(Step, u64)>, CoordinatorError> {
        let parsed = self.steps.iter().map(|line| {
            let hash = line[SAMPLE_HASH].as_str();
            let hash = hash.and_then(|text| u64::from_str_radix(text, 16).ok());
            Some((Step(line["step"].as_u64()?), hash?))
        });
        let parsed: Option<_> = parsed.collect();
        parsed.ok_or_else(|| self.corrupt("a line holds no step or no sample_hash"))
    }

    /// The last step up to which there is no gap.
    pub fn reported(&self) -> Result<Step, CoordinatorError> {
        let hashes = self.sample_hashes()?;
        let mut steps: Vec<u64> = hashes.into_iter().map(|(step, _)| step.0).collect();
        steps.sort_unstable();
        steps.dedup();
        let without_gap = (1..).zip(steps).take_while(|(wanted, step)| wanted == step);
        Ok(Step(without_gap.count() as u64))
    }

    fn corrupt(&self, what: &str) -> CoordinatorError {
        CoordinatorError::Corrupt {
            path: self.url.clone(),
            what: what.to_owned(),
        }
    }
}

/// All lines of a directory's segments, each once, but those that a later generation made void: it
/// starts at a step, and what earlier ones reported beyond that step is redone.
pub async fn surviving<L: DeserializeOwned>(
    files: &Directory,
    records: &[LogRecord],
    directory: &str,
) -> Result<Vec<L>, CoordinatorError> {
    let starts: Vec<(u64, u64)> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::WorldFormed {
                generation, start, ..
            } => Some((generation.0, start.0)),
            _ => None,
        })
        .collect();
    let mut lines = Vec::new();
    let mut seen = BTreeSet::new();
    for name in files.list(directory).await? {
        let path = format!("{directory}/{name}");
        let corrupt = |what: String| CoordinatorError::Corrupt {
            path: files.url_of(&path),
            what,
        };
        let generation = name
            .split('-')
            .next()
            .and_then(|text| text.parse::<u64>().ok());
        let generation =
            generation.ok_or_else(|| corrupt("no generation in its name".to_owned()))?;
        let later = starts.iter().filter(|(later, _)| *later > generation);
        let last = later.map(|(_, start)| *start).min().unwrap_or(u64::MAX);
        let text = files.read(&path).await?.unwrap_or_default();
        for line in text
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let value: Value =
                serde_json::from_slice(line).map_err(|error| corrupt(error.to_string()))?;
            let step = value["step"].as_u64();
            // Two terms may tell of one step of a generation that went on under the second, and two
            // generations of the evaluation of the step that the second started from.
            let told = match directory {
                "metrics" => format!("{} {}", value["step"], is_step(&value)),
                _ => value.to_string(),
            };
            if step.is_some_and(|step| step <= last) && seen.insert(told) {
                let line = serde_json::from_value(value);
                lines.push(line.map_err(|error| corrupt(error.to_string()))?);
            }
        }
    }
    Ok(lines)
}
