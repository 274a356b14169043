//! The run's directory: its files, its identity, and what it holds when a term opens.

use crate::log::{Log, replay};
use crate::{CoordinatorError, Outcome};
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use std::sync::Arc;
use twinspan_coordinator_core::Recovered;
use twinspan_types::{
    CheckpointName, Fact, Generation, Index, LogRecord, Manifest, RunConfig, Skip, Step,
};

/// The files below one directory of a store.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl Files {
    /// The directory at `url`.
    pub fn open(url: &str) -> Result<Self, CoordinatorError> {
        let (store, prefix) = twinspan_data::store::open(url)?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { store, prefix, url })
    }

    /// A file's URL, for messages.
    pub fn name(&self, file: &str) -> String {
        format!("{}/{file}", self.url)
    }

    fn path(&self, file: &str) -> Path {
        file.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// A whole file; none where there is none.
    pub async fn get(&self, file: &str) -> Result<Option<Bytes>, CoordinatorError> {
        let read = async { self.store.get(&self.path(file)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(file, source)),
        }
    }

    /// Writes a whole file.
    pub async fn put(
        &self,
        file: &str,
        bytes: Bytes,
        mode: PutMode,
    ) -> Result<(), CoordinatorError> {
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let payload = PutPayload::from_bytes(bytes);
        let put = self
            .store
            .put_opts(&self.path(file), payload, options)
            .await;
        put.map(|_| ()).map_err(|source| self.failed(file, source))
    }

    /// Removes a file; one that is not there is fine.
    pub async fn remove(&self, file: &str) -> Result<(), CoordinatorError> {
        match self.store.delete(&self.path(file)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(file, source)),
        }
    }

    /// The names of the files below a directory, sorted, relative to it.
    pub async fn list(&self, directory: &str) -> Result<Vec<String>, CoordinatorError> {
        let prefix = self.path(directory);
        let listed: Vec<_> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|source| self.failed(directory, source))?;
        let names = listed
            .iter()
            .filter_map(|object| object.location.filename());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    async fn size(&self, file: &str) -> Result<Option<u64>, CoordinatorError> {
        match self.store.head(&self.path(file)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(file, source)),
        }
    }

    fn failed(&self, file: &str, source: object_store::Error) -> CoordinatorError {
        CoordinatorError::Store {
            path: self.name(file),
            source,
        }
    }
}

/// A run's directory, owned for one term.
pub struct RunDir {
    /// Its files.
    pub files: Files,
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
        let files = Files::open(&config.url())?;
        check_identity(&files, config, index).await?;
        let records = replay(&files).await?;
        if let Some(step) = ended_at(&records).filter(|step| *step >= config.train.steps) {
            let checkpoint = newest_whole(&files, &records)
                .await?
                .map(|manifest| manifest.name);
            let (log, outcome) = (
                Log::closed(files.clone()),
                Outcome::Ended { step, checkpoint },
            );
            return Ok((Self { files, log }, Found::Ended(outcome)));
        }
        let yaml = twinspan_types::config::to_yaml(config).unwrap_or_default();
        files
            .put("run.yaml", yaml.into(), PutMode::Overwrite)
            .await?;
        let index = format!("{}\n", serde_json::json!(index));
        files
            .put("index.json", index.into(), PutMode::Overwrite)
            .await?;
        let (log, records) = Log::open(files.clone(), address).await?;
        let latest = newest_whole(&files, &records).await?;
        let start = latest
            .as_ref()
            .map_or(Step(0), |manifest| manifest.name.step);
        let kept = kept(&records)
            .into_iter()
            .filter(|name| name.step <= start)
            .collect();
        let recovered = Recovered {
            term: log.term(),
            generation: highest_generation(&records),
            skips: crate::segments::skips(&files, &records, start).await?,
            latest,
            kept,
        };
        Ok((Self { files, log }, Found::Open(recovered)))
    }
}

/// The newest checkpoint of the run at `url`, as a directory relative to it; none before the first.
///
/// # Errors
/// The store cannot be read, or a record is damaged.
pub async fn latest_checkpoint(url: &str) -> Result<Option<String>, CoordinatorError> {
    let files = Files::open(url)?;
    let records = replay(&files).await?;
    let newest = newest_whole(&files, &records).await?;
    Ok(newest.map(|manifest| manifest.name.directory()))
}

/// A directory that holds a run must hold this one.
async fn check_identity(
    files: &Files,
    config: &RunConfig,
    index: &Index,
) -> Result<(), CoordinatorError> {
    let Some(stored) = files.get("run.yaml").await? else {
        return Ok(());
    };
    let another = |what: String| CoordinatorError::AnotherRun {
        run: config.url(),
        what,
    };
    let text = String::from_utf8_lossy(&stored);
    let name = files.name("run.yaml");
    let begun = RunConfig::parse(
        &text,
        std::path::Path::new(&name),
        std::path::Path::new("/"),
    )
    .map_err(|error| CoordinatorError::Corrupt {
        path: name,
        what: error.to_string(),
    })?;
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
    if let Some(bytes) = files.get("index.json").await? {
        let stored: Option<Index> = serde_json::from_slice(&bytes).ok();
        if stored.is_none_or(|stored| stored != *index) {
            return Err(another(
                "index: a shard's size, count or etag has changed since".to_owned(),
            ));
        }
    }
    Ok(())
}

/// A value short enough for a line.
fn shortened(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &value[..end]),
        None => value.to_owned(),
    }
}

fn ended_at(records: &[LogRecord]) -> Option<Step> {
    records.iter().rev().find_map(|record| match record.fact {
        Fact::RunEnded { step } => Some(step),
        _ => None,
    })
}

fn highest_generation(records: &[LogRecord]) -> Generation {
    let formed = records.iter().filter_map(|record| match &record.fact {
        Fact::WorldFormed { generation, .. } => Some(*generation),
        _ => None,
    });
    formed.max().unwrap_or_default()
}

/// Committed checkpoints that were not retired, in the order of their records.
fn kept(records: &[LogRecord]) -> Vec<CheckpointName> {
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
    files: &Files,
    records: &[LogRecord],
) -> Result<Option<Manifest>, CoordinatorError> {
    for name in kept(records).into_iter().rev() {
        let directory = name.directory();
        let bytes = files
            .get(&format!("{directory}/{}", Manifest::FILE))
            .await?;
        let manifest: Option<Manifest> =
            bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
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

/// Skips up to a step, for [`Recovered`].
pub fn skips_up_to(skips: Vec<Skip>, start: Step) -> Vec<Skip> {
    skips
        .into_iter()
        .filter(|skip| skip.step <= start)
        .collect()
}
