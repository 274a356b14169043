//! `twinspan validate`: every fault of a run file at once. The checks are those that `train` and
//! `coordinator` begin with.

use crate::args::ValidateArgs;
use crate::counter::Counter;
use crate::exit::{Failure, bad_input, failed};
use crate::runtime::block_on;
use crate::say;
use anyhow::{Context, anyhow};
use std::path::Path;
use twinspan_model::config::ModelConfig;
use twinspan_model::towers::Clip;
use twinspan_types::config::EvalTask;
use twinspan_types::{Index, RunConfig, WorldSize};

/// A run that can be started.
pub struct Checked {
    /// The run file.
    pub config: RunConfig,
    /// Its shards.
    pub index: Index,
}

/// Checks a run file; nothing is written.
pub fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let config = load(&args.config)?;
    if args.print {
        let yaml = twinspan_types::config::to_yaml(&config);
        let yaml = yaml.map_err(|error| failed(anyhow!(error)))?;
        return say::result(yaml.trim_end());
    }
    let Checked { config, index } = check(config)?;
    say::result(format!(
        "{}: good. {} samples in {} shards, {} steps of {} samples, {} workers",
        args.config.display(),
        index.samples(),
        index.shards.len(),
        config.train.steps,
        config.train.global_batch,
        config.cluster.workers,
    ))
}

/// The sets must be there before the run, not only when it ends.
async fn check_eval_sets(config: &RunConfig) -> Result<(), Failure> {
    for (number, set) in config.eval.sets.iter().enumerate() {
        let (found, key) = match &set.task {
            EvalTask::ZeroShot(url) => (twinspan_data::read_classification(url).await, "zero_shot"),
            EvalTask::Retrieval(url) => (twinspan_data::read_captioned(url).await, "retrieval"),
        };
        let place = || format!("eval.sets[{number}].{key}");
        found.with_context(place).map_err(bad_input)?;
    }
    Ok(())
}

/// What a run begins with must be there and fit its model.
fn check_first_weights(config: &RunConfig) -> Result<(), Failure> {
    let Some(url) = &config.model.init_from else {
        return Ok(());
    };
    // A run that has a checkpoint goes on from there.
    if let Ok(Some(_)) = block_on(twinspan_coordinator::latest_checkpoint(&config.url()))? {
        return Ok(());
    }
    let fits = twinspan_worker::weights::check(url, &model(config, "model.config")?);
    fits.context("model.init_from").map_err(bad_input)
}

/// The run file, then its model: every fault of either at once.
pub fn load(file: &Path) -> Result<RunConfig, Failure> {
    let config = RunConfig::load(file).map_err(bad_input)?;
    let model = model(&config, &format!("{}, model", file.display()))?;
    let locked = Clip::new(model).lock(&config.model);
    locked.map_err(|fault| bad_input(anyhow!("{}: {fault}", file.display())))?;
    Ok(config)
}

/// A run's model; `name` is what its faults call it.
pub fn model(config: &RunConfig, name: &str) -> Result<ModelConfig, Failure> {
    ModelConfig::from_json(&config.model.config.to_string(), name).map_err(bad_input)
}

/// The run with another number of workers than its file names.
pub fn with_workers(mut config: RunConfig, workers: Option<u32>) -> Result<RunConfig, Failure> {
    let most = config.max_workers();
    match workers {
        None => {}
        Some(0) => {
            return Err(bad_input(anyhow!(
                "--workers 0: a run needs at least one worker"
            )));
        }
        Some(n) if WorldSize(n) > most => {
            return Err(bad_input(anyhow!(
                "--workers {n}: {n} workers cannot share {most} groups of lanes; raise data.lanes or lower data.lane_group"
            )));
        }
        Some(n) => {
            let cluster = &mut config.cluster;
            cluster.workers = WorldSize(n);
            cluster.min_workers = cluster.min_workers.min(WorldSize(n));
            cluster.max_workers = cluster.max_workers.max(WorldSize(n));
        }
    }
    Ok(config)
}

/// The run without its evaluations, where that was asked for.
pub fn with_eval(mut config: RunConfig, no_eval: bool) -> RunConfig {
    if no_eval {
        config.eval.sets.clear();
    }
    config
}

/// Finds the shards and the evaluation sets, and checks that they suffice; says how far it is where
/// shards must be counted and that takes long.
pub fn check(config: RunConfig) -> Result<Checked, Failure> {
    let counter = Counter::new("shards counted");
    let on_progress = |done, total| counter.show(done, total);
    let sources = &config.data.sources;
    let given_up = block_on(twinspan_coordinator::given_up(&config.url()))?.map_err(bad_input)?;
    let index = block_on(twinspan_data::index_sources(
        sources,
        &given_up,
        &on_progress,
    ))?;
    let index = index.map_err(|(number, error)| {
        let place = match sources.len() {
            1 => "data.train".to_owned(),
            _ => format!("data.sources[{number}]"),
        };
        bad_input(anyhow::Error::new(error).context(place))
    })?;
    index
        .check_batch(config.data.lanes, config.train.global_batch)
        .map_err(bad_input)?;
    block_on(check_eval_sets(&config))??;
    check_first_weights(&config)?;
    Ok(Checked { config, index })
}
