//! What a run has written down, read by those who look at it from outside.

use crate::run_dir::{kept, manifest, quarantines, stored_config, stored_index};
use crate::{CoordinatorError, log, segments};
use std::collections::BTreeSet;
use twinspan_data::{Directory, Order, RunFiles, Stores};
use twinspan_types::{Evaluation, RunConfig, ShardEntry, Step};

/// What a run has come to, over all its starts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trained {
    /// The last committed step.
    pub step: Step,
    /// Its loss.
    pub loss: Option<f64>,
    /// Seconds of all steps together.
    pub seconds: f64,
    /// Different samples that could not be used.
    pub skipped: u64,
    /// The newest evaluation.
    pub evaluation: Option<Evaluation>,
}

/// What the run at `url` has come to by its metrics and skips.
///
/// # Errors
/// A file is damaged, or the store fails.
pub async fn trained(url: &str) -> Result<Trained, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let records = log::replay(&files).await?;
    let metrics = segments::metrics(&files, &records).await?;
    let skips = segments::skips(&files, &records, Step(u64::MAX)).await?;
    let last = metrics
        .steps
        .iter()
        .max_by_key(|line| line["step"].as_u64());
    let step = last.and_then(|line| line["step"].as_u64());
    let seconds = metrics
        .steps
        .iter()
        .filter_map(|line| line["train/batch_time"].as_f64());
    let samples: BTreeSet<_> = skips.iter().map(|skip| (&skip.shard, &skip.key)).collect();
    Ok(Trained {
        step: Step(step.unwrap_or(0)),
        loss: last.and_then(|line| line["train/loss"].as_f64()),
        seconds: seconds.sum(),
        skipped: samples.len() as u64,
        evaluation: metrics
            .evaluations
            .iter()
            .max_by_key(|one| one.step)
            .cloned(),
    })
}

/// The files of the run at `url` that tell which samples it used: its index, the lines of metrics
/// and skips that survived, and the positions in its checkpoints.
///
/// # Errors
/// There is no run, a file is damaged, or the store fails.
pub async fn read_run(url: &str) -> Result<(RunConfig, RunFiles), CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let config = stored_config(&files).await?.ok_or_else(|| no_run(url))?;
    let index = stored_index(&files).await?.ok_or_else(|| no_run(url))?;
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
        quarantines: quarantines(&records),
        steps: segments::metrics(&files, &records).await?.sample_hashes()?,
        skips: segments::skips(&files, &records, Step(u64::MAX)).await?,
        checkpoints,
    };
    Ok((config, run))
}

/// The shards that the run at `url` has given up, as its index has them; none where there is no
/// run.
///
/// # Errors
/// A file is damaged, or the store fails.
pub async fn given_up(url: &str) -> Result<Vec<ShardEntry>, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let quarantines = quarantines(&log::replay(&files).await?);
    let Some(index) = stored_index(&files)
        .await?
        .filter(|_| !quarantines.is_empty())
    else {
        return Ok(Vec::new());
    };
    let shards = quarantines
        .iter()
        .filter_map(|one| index.shards.get(one.shard.index()));
    Ok(shards.cloned().collect())
}

/// There is no run at this URL.
pub fn no_run(url: &str) -> CoordinatorError {
    CoordinatorError::NoRun {
        url: url.to_owned(),
    }
}
