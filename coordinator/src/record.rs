//! What a run has written down, read by those who look at it from outside.

use crate::run_dir::{kept, manifest, stored_config};
use crate::{CoordinatorError, log, segments};
use twinspan_data::{Directory, Order, RunFiles, Stores};
use twinspan_types::{Index, RunConfig, Step};

/// The files of the run at `url` that tell which samples it used: its index, the lines of metrics
/// and skips that survived, and the positions in its checkpoints.
///
/// # Errors
/// There is no run, a file is damaged, or the store fails.
pub async fn read_run(url: &str) -> Result<(RunConfig, RunFiles), CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let config = stored_config(&files)
        .await?
        .ok_or_else(|| CoordinatorError::NoRun {
            url: url.to_owned(),
        })?;
    let bytes = files.read("index.json").await?.unwrap_or_default();
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|error| CoordinatorError::Corrupt {
            path: files.url_of("index.json"),
            what: error.to_string(),
        })?;
    let records = log::replay(&files).await?;
    let mut checkpoints = Vec::new();
    for name in kept(&records) {
        if let Some(manifest) = manifest(&files, name).await? {
            checkpoints.push((manifest.name.step, manifest.cursors));
        }
    }
    let run = RunFiles {
        index,
        order: Order {
            seed: config.seed,
            lanes: config.data.lanes,
            shuffle_window: config.data.shuffle_window,
        },
        samples_per_lane: config.samples_per_lane(),
        steps: segments::sample_hashes(&files, &records).await?,
        skips: segments::skips(&files, &records, Step(u64::MAX)).await?,
        checkpoints,
    };
    Ok((config, run))
}
