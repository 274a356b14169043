//! `twinspan validate`: every fault of a run file at once. The checks are those that `train` and
//! `coordinator` begin with.

use crate::args::ValidateArgs;
use crate::exit::{Failure, bad_input, failed};
use anyhow::{Context, anyhow};
use std::path::Path;
use twinspan_model::config::ModelConfig;
use twinspan_types::{ConfigError, Index, RunConfig};

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
        print!("{}", yaml.map_err(|error| failed(anyhow!(error)))?);
        return Ok(());
    }
    let Checked { config, index } = check(config)?;
    println!(
        "{}: good. {} samples in {} shards, {} steps of {} samples, {} workers",
        args.config.display(),
        index.samples(),
        index.shards.len(),
        config.train.steps,
        config.train.global_batch,
        config.cluster.workers,
    );
    Ok(())
}

/// The run file with its model: every fault of both at once.
pub fn load(file: &Path) -> Result<RunConfig, Failure> {
    let loaded = RunConfig::load(file);
    let model = match &loaded {
        Ok(config) => {
            ModelConfig::from_json(&config.model.to_string(), &file.display().to_string()).err()
        }
        Err(
            ConfigError::Unreadable { .. }
            | ConfigError::NotYaml { .. }
            | ConfigError::Faults { .. },
        ) => None,
    };
    match (loaded, model) {
        (Ok(config), None) => Ok(config),
        (Ok(_), Some(error)) => Err(bad_input(error)),
        (Err(error), _) => Err(bad_input(error)),
    }
}

/// Finds the shards and checks that they suffice.
pub fn check(config: RunConfig) -> Result<Checked, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the input and output runtime")
        .map_err(failed)?;
    let index = runtime
        .block_on(twinspan_data::index::build_index(&config.data.train))
        .context("data.train")
        .map_err(bad_input)?;
    index.check_lanes(config.data.lanes).map_err(bad_input)?;
    Ok(Checked { config, index })
}
