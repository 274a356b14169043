//! The run's directory: its files, its identity, and what it holds when a term opens.

use crate::log::{Log, read_on, replay};
use crate::segments::Metrics;
use crate::takeover::{self, Probe};
use crate::view::Past;
use crate::{CoordinatorError, Outcome};
use futures::{StreamExt, TryStreamExt};
use std::path::Path;
use twinspan_coordinator_core::Recovered;
use twinspan_data::{Directory, Stores};
use twinspan_types::{
    CheckpointName, Fact, Index, LogRecord, Manifest, Quarantine, RunConfig, Skip, Step, Term,
};

/// Checkpoints of earlier terms that are shown.
const MANIFESTS_SHOWN: usize = 100;
/// Manifests that are read at once.
const MANIFESTS_AT_ONCE: usize = 16;

/// A run's directory, owned for one term.
pub struct RunDir {
    /// Its files.
    pub files: Directory,
    /// Its log.
    pub log: Log,
    /// Retired checkpoints whose removal was interrupted.
    pub leftovers: Vec<CheckpointName>,
}

/// What the directory held.
pub enum Found {
    /// A run that reached its last step.
    Ended(Outcome),
    /// A run to begin or to go on with, and what is shown of its past.
    Open(Box<(Recovered, Past)>),
}

impl RunDir {
    /// Checks that the directory holds this run or none, and opens a term unless the run has ended.
    /// `probe` tells whether the run's last coordinator still answers.
    pub async fn open(
        files: Directory,
        config: &RunConfig,
        index: &Index,
        address: &str,
        probe: &Probe,
    ) -> Result<(Self, Found), CoordinatorError> {
        check_identity(&files, config, index).await?;
        let mut records = replay(&files).await?;
        if let Some(step) = ended_at(&records).filter(|step| *step >= config.train.steps) {
            let checkpoint = newest_whole(&files, &kept(&records)).await?;
            if checkpoint.is_none() {
                return Err(CoordinatorError::Corrupt {
                    path: files.url_of("checkpoints"),
                    what: format!("the run ended at step {step} and its checkpoint is gone"),
                });
            }
            let (log, outcome) = (
                Log::closed(files.clone()),
                Outcome::Ended { step, checkpoint },
            );
            let run = Self {
                files,
                log,
                leftovers: Vec::new(),
            };
            return Ok((run, Found::Ended(outcome)));
        }
        // Who listens where the last one did knows that it is gone.
        if let Some(owner) = owner(&records).filter(|owner| owner != address) {
            takeover::wait_until_gone(&owner, config, probe).await?;
            // What it wrote meanwhile.
            read_on(&files, &mut records).await?;
        }
        let newest = check_files(&files, &records).await?;
        let yaml = twinspan_types::config::to_yaml(config).unwrap_or_default();
        files.write("run.yaml", yaml.into()).await?;
        let index = format!("{}\n", serde_json::json!(index));
        files.write("index.json", index.into()).await?;
        let log = Log::open(files.clone(), &records, address).await?;
        let mut recovered =
            Recovered::replay(log.term(), records.iter().map(|record| &record.fact));
        let newest = recovered
            .kept
            .iter()
            .position(|(name, _)| newest == Some(*name));
        recovered
            .kept
            .truncate(newest.map_or(0, |newest| newest + 1));
        let metrics = crate::segments::metrics(&files, &records).await?;
        recovered.reported = metrics.reported()?;
        let evaluated = metrics.evaluations.iter().map(|one| one.step).max();
        recovered.evaluated = evaluated.unwrap_or_default();
        recovered.skips = crate::segments::skips(&files, &records, recovered.reported).await?;
        let past = past(&files, &recovered, metrics).await?;
        let leftovers = leftovers(&files, &records).await?;
        let run = Self {
            files,
            log,
            leftovers,
        };
        Ok((run, Found::Open(Box::new((recovered, past)))))
    }
}

/// What is shown of the run before this coordinator.
async fn past(
    files: &Directory,
    recovered: &Recovered,
    metrics: Metrics,
) -> Result<Past, CoordinatorError> {
    // The newest alone are shown, and a takeover does not wait for one read after the other.
    let shown = recovered.kept.len().saturating_sub(MANIFESTS_SHOWN);
    let names = recovered.kept[shown..].iter().map(|(name, _)| *name);
    let reads = names.map(|name| manifest(files, name));
    let reads = futures::stream::iter(reads).buffered(MANIFESTS_AT_ONCE);
    let manifests: Vec<Option<Manifest>> = reads.try_collect().await?;
    let past = Past {
        evaluations: metrics.evaluations,
        skips: recovered.skips.clone(),
        quarantines: recovered.quarantines.clone(),
        manifests: manifests.into_iter().flatten().collect(),
        world: recovered.at_work.clone(),
        ..Past::default()
    };
    Ok(past.with_steps(&metrics.steps))
}

/// The newest checkpoint of the run at `url`, as a directory relative to it; none before the first.
///
/// # Errors
/// The store cannot be read, or a record is damaged.
pub async fn latest_checkpoint(url: &str) -> Result<Option<String>, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let records = replay(&files).await?;
    let newest = newest_whole(&files, &kept(&records)).await?;
    Ok(newest.map(|name| name.directory()))
}

/// The run file that a directory's run was begun with; none where there is no run.
pub async fn stored_config(files: &Directory) -> Result<Option<RunConfig>, CoordinatorError> {
    let Some(stored) = files.read("run.yaml").await? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&stored);
    let name = files.url_of("run.yaml");
    let parsed = RunConfig::parse(&text, Path::new(&name), Path::new("/"));
    parsed.map(Some).map_err(|error| CoordinatorError::Corrupt {
        path: name,
        what: error.to_string(),
    })
}

/// The index that a directory's run was begun with; none where there is no run.
pub async fn stored_index(files: &Directory) -> Result<Option<Index>, CoordinatorError> {
    let Some(bytes) = files.read("index.json").await? else {
        return Ok(None);
    };
    let parsed = serde_json::from_slice(&bytes);
    parsed.map(Some).map_err(|error| CoordinatorError::Corrupt {
        path: files.url_of("index.json"),
        what: error.to_string(),
    })
}

/// A directory that holds a run must hold this one.
async fn check_identity(
    files: &Directory,
    config: &RunConfig,
    index: &Index,
) -> Result<(), CoordinatorError> {
    let Some(begun) = stored_config(files).await? else {
        return Ok(());
    };
    let another = |what: String| CoordinatorError::AnotherRun {
        run: config.url(),
        what,
    };
    let differences = config.identity_differences(&begun);
    if !differences.is_empty() {
        let told = differences.iter().map(|(path, ours, theirs)| {
            let alike = alike(ours, theirs);
            let (ours, theirs) = (shortened(ours, alike), shortened(theirs, alike));
            format!("{path} ({theirs} there, {ours} here)")
        });
        return Err(another(told.collect::<Vec<_>>().join(", ")));
    }
    match stored_index(files).await? {
        Some(stored) if stored != *index => Err(another(
            "index: a shard's size, count or etag has changed since".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Bytes at the beginning of two values that are the same, whole characters all.
fn alike(one: &str, other: &str) -> usize {
    let same = one
        .chars()
        .zip(other.chars())
        .take_while(|(one, other)| one == other);
    same.map(|(character, _)| character.len_utf8()).sum()
}

/// A value short enough for a line, with the place where it differs from another.
fn shortened(value: &str, alike: usize) -> String {
    const BEFORE: usize = 20;
    const MOST: usize = 60;
    let skipped = match value.len() > MOST {
        true => alike.saturating_sub(BEFORE),
        false => 0,
    };
    let from = (0..=skipped).rev().find(|at| value.is_char_boundary(*at));
    let from = from.unwrap_or(0);
    let rest = &value[from..];
    let before = if from > 0 { "..." } else { "" };
    match rest.char_indices().nth(MOST) {
        Some((end, _)) => format!("{before}{}...", &rest[..end]),
        None => format!("{before}{rest}"),
    }
}

/// Where the coordinator of the last term listened.
fn owner(records: &[LogRecord]) -> Option<String> {
    records.iter().rev().find_map(|record| match &record.fact {
        Fact::TermOpened { address } => Some(address.clone()),
        _ => None,
    })
}

fn ended_at(records: &[LogRecord]) -> Option<Step> {
    records.iter().rev().find_map(|record| match record.fact {
        Fact::RunEnded { step } => Some(step),
        _ => None,
    })
}

/// Shards that were given up.
pub fn quarantines(records: &[LogRecord]) -> Vec<Quarantine> {
    replayed(records).quarantines
}

/// Checkpoints in force, in the order of their records.
pub fn kept(records: &[LogRecord]) -> Vec<CheckpointName> {
    let kept = replayed(records).kept;
    kept.into_iter().map(|(name, _)| name).collect()
}

/// That the run can go on from what it has, before anything is written; gives its newest whole
/// checkpoint.
async fn check_files(
    files: &Directory,
    records: &[LogRecord],
) -> Result<Option<CheckpointName>, CoordinatorError> {
    let names = kept(records);
    let newest = newest_whole(files, &names).await?;
    if !names.is_empty() && newest.is_none() {
        return Err(CoordinatorError::Corrupt {
            path: files.url_of("checkpoints"),
            what: "no checkpoint of the run is whole".to_owned(),
        });
    }
    let no_log = records.is_empty();
    if no_log && !files.list("metrics").await?.is_empty() {
        return Err(CoordinatorError::Corrupt {
            path: files.url_of("log"),
            what: "the run's log is missing, and its metrics are there".to_owned(),
        });
    }
    Ok(newest)
}

/// Retired checkpoints that have files still.
async fn leftovers(
    files: &Directory,
    records: &[LogRecord],
) -> Result<Vec<CheckpointName>, CoordinatorError> {
    let folders = files.folders("checkpoints").await?;
    let there = |name: &CheckpointName| {
        let directory = name.directory();
        let folder = directory.rsplit('/').next();
        folders.iter().any(|there| folder == Some(there))
    };
    let retired = records.iter().filter_map(|record| match &record.fact {
        Fact::CheckpointRetired { name } => Some(*name),
        _ => None,
    });
    Ok(retired.filter(there).collect())
}

/// What follows from a log's records alone.
pub fn replayed(records: &[LogRecord]) -> Recovered {
    Recovered::replay(Term::default(), records.iter().map(|record| &record.fact))
}

/// The newest kept checkpoint whose manifest and parts are all there.
async fn newest_whole(
    files: &Directory,
    kept: &[CheckpointName],
) -> Result<Option<CheckpointName>, CoordinatorError> {
    for name in kept.iter().rev().copied() {
        let directory = name.directory();
        let manifest = manifest(files, name).await?;
        let Some(manifest) = manifest else {
            tracing::warn!(
                "{name}: its manifest is missing or damaged; taking an older checkpoint"
            );
            continue;
        };
        let mut whole = true;
        for part in &manifest.parts {
            let size = files.size(&format!("{directory}/{}", part.name)).await?;
            whole &= size == Some(part.bytes);
        }
        if whole {
            return Ok(Some(name));
        }
        tracing::warn!("{name}: a part is missing or cut; taking an older checkpoint");
    }
    Ok(None)
}

/// A checkpoint's manifest; none where it is missing or damaged.
pub async fn manifest(
    files: &Directory,
    name: CheckpointName,
) -> Result<Option<Manifest>, CoordinatorError> {
    let path = format!("{}/{}", name.directory(), Manifest::FILE);
    let bytes = files.read(&path).await?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

/// Skips up to a step, for [`Recovered`].
pub fn skips_up_to(skips: Vec<Skip>, start: Step) -> Vec<Skip> {
    skips
        .into_iter()
        .filter(|skip| skip.step <= start)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let long = |end: &str| format!("{} {end}", "shard ".repeat(20));
        let (one, other) = (long("á.tar"), long("é.tar"));
        let alike = alike(&one, &other);
        assert_eq!(shortened(&one, alike), "... shard shard shard  á.tar");
        assert_ne!(shortened(&one, alike), shortened(&other, alike));
        assert_eq!(shortened("4", 0), "4");
    }
}
