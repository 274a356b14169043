//! From a file's text to a [`RunConfig`].

use super::compute::{COLLECTIVES, PRECISIONS, worker};
use super::data::data;
use super::eval::eval;
use super::model::model;
use super::reader::{BELOW_ONE, Faults, NOT_NEGATIVE, POSITIVE, Section};
use super::telemetry::telemetry;
use super::{
    CheckpointConfig, ClusterConfig, CollectiveChoice, ConfigError, DeviceChoice, OptimizerConfig,
    Precision, RunConfig, Schedule, TrainConfig, parse_yaml,
};
use crate::{Step, WorldSize};
use std::path::{Path, PathBuf};
use std::time::Duration;

impl RunConfig {
    /// Reads and checks a run file. Relative paths in it (shards, model, eval sets) are taken from
    /// the file's own folder, `output` from the current one.
    ///
    /// # Errors
    /// The file cannot be read, is not YAML, or has faults: all of them, each with its path.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let folder = file.parent().unwrap_or(Path::new("."));
        Self::parse(&text, file, folder)
    }

    /// Checks a run file's text; `folder` is where its relative paths start.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn parse(text: &str, file: &Path, folder: &Path) -> Result<Self, ConfigError> {
        let value = parse_yaml(text).map_err(|detail| ConfigError::NotYaml {
            file: file.to_owned(),
            detail,
        })?;
        let faults = Faults::default();
        let config = run(Section::new("", value, &faults), &Folder(folder));
        match faults.into_vec() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ConfigError::Faults {
                file: file.to_owned(),
                faults,
            }),
        }
    }
}

/// Where relative paths start.
pub(super) struct Folder<'p>(&'p Path);

impl Folder<'_> {
    /// An absolute path.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        let path = self.0.join(path);
        std::path::absolute(&path).unwrap_or(path)
    }

    /// An absolute URL of a path; URLs stay as they are. A folder's ends in a slash, whether the
    /// path does or not.
    pub(super) fn url(&self, path: &str) -> String {
        if path.contains("://") {
            return path.to_owned();
        }
        let path_here = self.0.join(path);
        file_url(&path_here, path.ends_with('/') || path_here.is_dir())
    }
}

/// The URL of a path given on a command line, from the current folder; URLs stay as they are.
#[must_use]
pub fn url_of_path(path: &str) -> String {
    Folder(Path::new("")).url(path)
}

fn file_url(path: &Path, directory: bool) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut clean = PathBuf::new();
    for component in absolute.components() {
        match component {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            other => clean.push(other),
        }
    }
    let slash = if directory { "/" } else { "" };
    format!("file://{}{slash}", clean.display())
}

/// Characters of a run's name at most: it is the name of a folder.
const LONGEST_NAME: usize = 100;

fn run(mut top: Section<'_>, folder: &Folder<'_>) -> RunConfig {
    let name = top.required_string("run", "my-first-run");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(allowed) || name.starts_with('.') || name.len() > LONGEST_NAME {
        top.fault(
            "run",
            format!("{name:?} may hold a-z A-Z 0-9 - _ . (up to {LONGEST_NAME}) and not start with a dot"),
        );
    }
    let output = top.string("output").unwrap_or_else(|| "runs".to_owned());
    if output.is_empty() {
        top.fault("output", "is empty; give a folder or an object store's URL");
    }
    let output = url_of_path(&output);
    let config = RunConfig {
        run: name,
        output,
        seed: top.integer("seed", 0),
        model: model(&mut top, folder),
        data: data(top.section("data"), folder),
        train: train(top.section("train")),
        optimizer: optimizer(top.section("optimizer")),
        checkpoint: checkpoint(top.section("checkpoint")),
        cluster: cluster(top.section("cluster")),
        worker: worker(top.section("worker")),
        eval: eval(top.section("eval"), folder),
        telemetry: telemetry(top.section("telemetry")),
    };
    fit(&config, &top);
    top.finish();
    config
}

fn train(mut section: Section<'_>) -> TrainConfig {
    let config = TrainConfig {
        global_batch: section.count("global_batch", 256),
        steps: Step(section.positive("steps", 1000)),
        loss_tile: section.count("loss_tile", 512),
        text_groups: section.count("text_groups", 4),
        precision: section.one_of("precision", &PRECISIONS, Precision::Fp32),
        tf32: section.flag("tf32", true),
        recompute: section.flag("recompute", false),
    };
    section.finish();
    config
}

fn optimizer(mut section: Section<'_>) -> OptimizerConfig {
    let schedule = section.one_of(
        "schedule",
        &[
            ("cosine", Schedule::Cosine),
            ("const", Schedule::Const),
            ("const-cooldown", Schedule::ConstCooldown),
        ],
        Schedule::Cosine,
    );
    let cooldown = section.integer("cooldown", 0);
    if schedule == Schedule::ConstCooldown && cooldown == 0 {
        section.fault(
            "cooldown",
            "is missing; schedule const-cooldown needs its steps",
        );
    }
    if schedule != Schedule::ConstCooldown && cooldown > 0 {
        section.fault("cooldown", "belongs to schedule const-cooldown only");
    }
    let clips = section.has("grad_clip_norm");
    let clip = section.number("grad_clip_norm", 1.0, POSITIVE);
    let config = OptimizerConfig {
        lr: section.number("lr", 5e-4, POSITIVE),
        beta1: section.number("beta1", 0.9, BELOW_ONE),
        beta2: section.number("beta2", 0.98, BELOW_ONE),
        eps: section.number("eps", 1e-6, POSITIVE),
        weight_decay: section.number("weight_decay", 0.2, NOT_NEGATIVE),
        warmup: section.integer("warmup", 0),
        schedule,
        cooldown,
        grad_clip_norm: clips.then_some(clip),
        max_bad_steps: section.count("max_bad_steps", 3),
    };
    section.finish();
    config
}

fn checkpoint(mut section: Section<'_>) -> CheckpointConfig {
    let timed = section.has("every_minutes");
    let minutes = section.number("every_minutes", 1.0, POSITIVE);
    let time = Duration::try_from_secs_f64(minutes * 60.0);
    if time.is_err() {
        section.fault("every_minutes", format!("{minutes} minutes are too long"));
    }
    let config = CheckpointConfig {
        every_steps: section.positive("every_steps", 500),
        every_minutes: time.ok().filter(|_| timed),
        keep_last: section.count("keep_last", 3),
        keep_every: section.integer("keep_every", 0),
    };
    section.finish();
    config
}

fn cluster(mut section: Section<'_>) -> ClusterConfig {
    let workers = section.count("workers", 1);
    let config = ClusterConfig {
        workers: WorldSize(workers),
        min_workers: WorldSize(section.count("min_workers", 1)),
        max_workers: WorldSize(section.count("max_workers", workers)),
        listen: section
            .string("listen")
            .unwrap_or_else(|| "127.0.0.1:0".to_owned()),
        heartbeat_timeout: section.duration("heartbeat_timeout", Duration::from_secs(5)),
        step_timeout: section.duration("step_timeout", Duration::from_secs(120)),
        join_timeout: section.duration("join_timeout", Duration::from_secs(120)),
        join_window: section.duration("join_window", Duration::from_millis(500)),
        takeover_after: section.duration("takeover_after", Duration::from_secs(10)),
        checksum_every: section.integer("checksum_every", 100),
        collective: section.one_of("collective", &COLLECTIVES, CollectiveChoice::Auto),
    };
    let port = config
        .listen
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    if port.is_none() {
        section.fault("listen", format!("{:?} is not host:port", config.listen));
    }
    section.finish();
    config
}

/// Checks that the numbers fit each other.
fn fit(config: &RunConfig, top: &Section<'_>) {
    let (lanes, batch) = (config.data.lanes, config.train.global_batch);
    if !batch.is_multiple_of(lanes) {
        top.fault(
            "data.lanes",
            format!("{lanes} does not divide global_batch {batch}"),
        );
    }
    let group = config.data.lane_group;
    if !lanes.is_multiple_of(group) {
        top.fault(
            "data.lane_group",
            format!("{group} does not divide data.lanes {lanes}"),
        );
    } else if config.cluster.workers > config.max_workers() {
        let (workers, most) = (config.cluster.workers, config.max_workers());
        top.fault(
            "cluster.workers",
            format!("{workers} workers cannot share {most} groups of lanes; raise data.lanes or lower data.lane_group"),
        );
    }
    let ClusterConfig {
        workers,
        min_workers,
        max_workers,
        ..
    } = config.cluster;
    if min_workers > workers {
        top.fault(
            "cluster.min_workers",
            format!("{min_workers} is more than cluster.workers {workers}"),
        );
    }
    if group > 0 && lanes.is_multiple_of(group) && max_workers > config.max_workers() {
        let most = config.max_workers();
        top.fault(
            "cluster.max_workers",
            format!("{max_workers} workers cannot share {most} groups of lanes; raise data.lanes or lower data.lane_group"),
        );
    }
    if max_workers < workers {
        top.fault(
            "cluster.max_workers",
            format!("{max_workers} is less than cluster.workers {workers}"),
        );
    }
    let (warmup, steps) = (config.optimizer.warmup, config.train.steps.0);
    if warmup >= steps && warmup > 0 {
        top.fault(
            "optimizer.warmup",
            format!("{warmup} leaves nothing of train.steps {steps}"),
        );
    }
    let device = config.worker.device;
    if config.train.precision == Precision::Bf16
        && matches!(device, DeviceChoice::Cpu | DeviceChoice::Wgpu(_))
    {
        top.fault(
            "train.precision",
            format!("bf16 needs an NVIDIA GPU, and worker.device is {device}; change one of them"),
        );
    }
    if config.cluster.collective == CollectiveChoice::Nccl
        && matches!(device, DeviceChoice::Cpu | DeviceChoice::Wgpu(_))
    {
        top.fault(
            "cluster.collective",
            format!("nccl needs NVIDIA GPUs, and worker.device is {device}; change one of them"),
        );
    }
}

/// Expands `{a,b}` and `{000..012}` as a shell does, and sorts what comes of it.
///
/// # Errors
/// The fault's words, when a brace is not closed or holds neither a list nor a range.
pub fn expand_braces(pattern: &str) -> Result<Vec<String>, String> {
    let Some(open) = pattern.find('{') else {
        return Ok(vec![pattern.to_owned()]);
    };
    let close = pattern[open..]
        .find('}')
        .map(|offset| open + offset)
        .ok_or_else(|| format!("{pattern:?} opens a brace and does not close it"))?;
    let (before, inside, after) = (
        &pattern[..open],
        &pattern[open + 1..close],
        &pattern[close + 1..],
    );
    let choices = alternatives(inside).ok_or_else(|| {
        format!("{{{inside}}} in {pattern:?} is neither a list {{a,b}} nor a range {{000..012}} of up to {MOST_ALTERNATIVES}")
    })?;
    let mut expanded = Vec::new();
    for rest in expand_braces(after)? {
        expanded.extend(
            choices
                .iter()
                .map(|choice| format!("{before}{choice}{rest}")),
        );
    }
    expanded.sort();
    Ok(expanded)
}

/// Shards beyond this in one brace are a typing error.
const MOST_ALTERNATIVES: u64 = 10_000_000;

fn alternatives(inside: &str) -> Option<Vec<String>> {
    if let Some((first, last)) = inside.split_once("..") {
        let (from, to): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let width = if first.starts_with('0') {
            first.len()
        } else {
            0
        };
        let range = (from <= to && to - from < MOST_ALTERNATIVES).then_some(from..=to)?;
        return Some(range.map(|n| format!("{n:0width$}")).collect());
    }
    inside
        .contains(',')
        .then(|| inside.split(',').map(str::to_owned).collect())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
