//! The run's directory: its files, its identity, and what it holds when a term opens.

use crate::log::{Log, replay};
use crate::{CoordinatorError, Outcome};
use std::path::Path;
use std::time::Duration;
use tonic::transport::Endpoint;
use twinspan_coordinator_core::Recovered;
use twinspan_data::{Directory, Stores};
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_types::{
    CheckpointName, Fact, Generation, Index, LogRecord, Manifest, Quarantine, RunConfig, Skip, Step,
};

/// Longest wait for a coordinator that may own the run.
const ANSWER: Duration = Duration::from_secs(2);

/// A run's directory, owned for one term.
pub struct RunDir {
    /// Its files.
    pub files: Directory,
    /// Its log.
    pub log: Log,
}

/// What the directory held.
pub enum Found {
    /// A run that reached its last step.
    Ended(Outcome),
    /// A run to begin or to go on with.
    Open(Recovered),
}

impl RunDir {
    /// Checks that the directory holds this run or none, and opens a term unless the run has ended.
    pub async fn open(
        config: &RunConfig,
        index: &Index,
        address: &str,
    ) -> Result<(Self, Found), CoordinatorError> {
        let files = Directory::open(&Stores::default(), &config.url())?;
        check_identity(&files, config, index).await?;
        let records = replay(&files).await?;
        if let Some(step) = ended_at(&records).filter(|step| *step >= config.train.steps) {
            let checkpoint = newest_whole(&files, &records)
                .await?
                .map(|manifest| manifest.name);
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
            return Ok((Self { files, log }, Found::Ended(outcome)));
        }
        if let Some(address) = owner(&records)
            && answers(&address, &config.run).await
        {
            return Err(CoordinatorError::StillRunning {
                run: config.url(),
                address: format!("http://{address}"),
            });
        }
        let yaml = twinspan_types::config::to_yaml(config).unwrap_or_default();
        files.write("run.yaml", yaml.into()).await?;
        let index = format!("{}\n", serde_json::json!(index));
        files.write("index.json", index.into()).await?;
        let (log, records) = Log::open(files.clone(), address).await?;
        let latest = newest_whole(&files, &records).await?;
        let start = latest
            .as_ref()
            .map_or(Step(0), |manifest| manifest.name.step);
        let kept = kept(&records)
            .into_iter()
            .filter(|name| name.step <= start)
            .collect();
        let reported = crate::segments::reported(&files, &records).await?;
        let recovered = Recovered {
            term: log.term(),
            worlds: worlds(&records),
            reported,
            skips: crate::segments::skips(&files, &records, reported).await?,
            latest,
            kept,
            quarantines: quarantines(&records),
        };
        Ok((Self { files, log }, Found::Open(recovered)))
    }
}

/// The newest checkpoint of the run at `url`, as a directory relative to it; none before the first.
///
/// # Errors
/// The store cannot be read, or a record is damaged.
pub async fn latest_checkpoint(url: &str) -> Result<Option<String>, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let records = replay(&files).await?;
    let newest = newest_whole(&files, &records).await?;
    Ok(newest.map(|manifest| manifest.name.directory()))
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
            format!(
                "{path} ({} there, {} here)",
                shortened(theirs),
                shortened(ours)
            )
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

/// A value short enough for a line.
fn shortened(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

/// Where the coordinator of the last term listened.
fn owner(records: &[LogRecord]) -> Option<String> {
    records.iter().rev().find_map(|record| match &record.fact {
        Fact::TermOpened { address } => Some(address.clone()),
        _ => None,
    })
}

/// Whether a coordinator of this run answers at an address.
async fn answers(address: &str, run: &str) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return false;
    };
    let channel = endpoint.connect_timeout(ANSWER).timeout(ANSWER);
    let mut client = CoordinatorClient::new(channel.connect_lazy());
    match client.get_status(v1::GetStatusRequest {}).await {
        Ok(answer) => answer.into_inner().run == run,
        Err(_) => false,
    }
}

fn ended_at(records: &[LogRecord]) -> Option<Step> {
    records.iter().rev().find_map(|record| match record.fact {
        Fact::RunEnded { step } => Some(step),
        _ => None,
    })
}

fn worlds(records: &[LogRecord]) -> Vec<(Generation, Step)> {
    let formed = records.iter().filter_map(|record| match &record.fact {
        Fact::WorldFormed {
            generation, start, ..
        } => Some((*generation, *start)),
        _ => None,
    });
    formed.collect()
}

/// Shards that were given up.
pub fn quarantines(records: &[LogRecord]) -> Vec<Quarantine> {
    let facts = records.iter().map(|record| &record.fact);
    let quarantines = facts.filter_map(|fact| match fact {
        Fact::ShardQuarantined(quarantine) => Some(quarantine.clone()),
        _ => None,
    });
    quarantines.collect()
}

/// Committed checkpoints that were not retired, in the order of their records.
pub fn kept(records: &[LogRecord]) -> Vec<CheckpointName> {
    let mut names = Vec::new();
    for record in records {
        match &record.fact {
            Fact::CheckpointCommitted { name, .. } => names.push(*name),
            Fact::CheckpointRetired { name } => names.retain(|kept| kept != name),
            _ => {}
        }
    }
    names
}

/// The newest kept checkpoint whose manifest and parts are all there.
async fn newest_whole(
    files: &Directory,
    records: &[LogRecord],
) -> Result<Option<Manifest>, CoordinatorError> {
    for name in kept(records).into_iter().rev() {
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
            return Ok(Some(manifest));
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
