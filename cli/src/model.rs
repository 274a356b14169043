//! The model of a checkpoint or a run.

use crate::exit::{Failure, bad_input};
use crate::runtime::block_on;
use anyhow::{Context, anyhow};
use std::path::Path;
use twinspan_types::Manifest;
use twinspan_types::config::url_of_path;
use twinspan_worker::WorkerError;
use twinspan_worker::eval::EvalModel;
use twinspan_worker::storage::Storage;
use twinspan_worker::weights::WeightsFile;

/// Loads the model of a checkpoint's directory, of a file of weights in one, or of the newest checkpoint of a run's.
pub fn load(checkpoint: &str) -> Result<EvalModel, Failure> {
    let given = url_of_path(checkpoint);
    let directory = match is_checkpoint(&given).map_err(bad_input)? {
        true => given,
        false => newest_checkpoint(&given)?,
    };
    EvalModel::load(&directory).map_err(bad_input)
}

/// Whether `url` is a file of weights, or a directory with a checkpoint's configuration. Where it has a checkpoint's
/// other files, the configuration's absence is an error.
fn is_checkpoint(url: &str) -> Result<bool, WorkerError> {
    if WeightsFile::is_named_by(url) {
        return Ok(true);
    }
    let storage = Storage::open(url)?;
    if storage.has(Manifest::MODEL_CONFIG_FILE)? {
        return Ok(true);
    }
    let weights = WeightsFile::find_if_present(url)?;
    match weights.is_some() || storage.has(Manifest::FILE)? {
        true => Err(WorkerError::MissingFile {
            url: storage.url_of(Manifest::MODEL_CONFIG_FILE),
        }),
        false => Ok(false),
    }
}

/// The newest committed checkpoint of the run at `url`.
fn newest_checkpoint(url: &str) -> Result<String, Failure> {
    let found = block_on(twinspan_coordinator::latest_checkpoint(url))?
        .with_context(|| format!("{url} is neither a checkpoint nor a run"))
        .map_err(bad_input)?;
    let name = found.ok_or_else(|| {
        bad_input(anyhow!(
            "{url} holds no checkpoint (a checkpoint directory has {}); train a run first",
            Manifest::MODEL_CONFIG_FILE
        ))
    })?;
    Ok(format!(
        "{}/{}",
        url.trim_end_matches('/'),
        Path::new(&name).display()
    ))
}
