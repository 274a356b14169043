//! The checkpoints that a run's log has in force, and whether their files are what was written.

use crate::log::replay;
use crate::run_dir::{kept, replayed};
use crate::{CoordinatorError, record};
use serde::Serialize;
use sha2::{Digest, Sha256};
use twinspan_data::{Directory, OnProgress, Stores};
use twinspan_types::{CheckpointName, Generation, Manifest, Part, Step};

/// A checkpoint in force: its record is in the log, and no later record retires it.
#[derive(Debug, Clone)]
pub struct KeptCheckpoint {
    /// Which one.
    pub name: CheckpointName,
    /// The generation that wrote it.
    pub generation: Generation,
    /// What it consists of, or what is wrong with the file that says so.
    pub manifest: Result<Manifest, CheckpointFault>,
}

impl KeptCheckpoint {
    /// How many parts it has; none where its manifest is at fault.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.named_parts().len()
    }

    /// Bytes of all parts together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.named_parts().iter().map(|part| part.bytes).sum()
    }

    fn named_parts(&self) -> &[Part] {
        self.manifest
            .as_ref()
            .map_or(&[], |manifest| &manifest.parts)
    }
}

/// What is wrong with a file of a checkpoint; paths are relative to the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum CheckpointFault {
    /// It is not there.
    #[error("{file} is missing")]
    Missing {
        /// The file.
        file: String,
    },
    /// It was cut, or something was added.
    #[error("{file} has {found} bytes and not {expected}")]
    OtherSize {
        /// The file.
        file: String,
        /// Its size by the manifest.
        expected: u64,
        /// Its size.
        found: u64,
    },
    /// It has the right size and another content.
    #[error("{file} was changed: its SHA-256 is {found} and not {expected}")]
    OtherContent {
        /// The file.
        file: String,
        /// Its hash by the manifest.
        expected: String,
        /// Its hash.
        found: String,
    },
    /// A manifest that cannot be read.
    #[error("{file} is no manifest: {what}")]
    NoManifest {
        /// The file.
        file: String,
        /// What is wrong with it.
        what: String,
    },
    /// A manifest that another checkpoint's record speaks of.
    #[error("{file} is the manifest of {of}, written by generation {generation}")]
    AnotherManifest {
        /// The file.
        file: String,
        /// The checkpoint that it names.
        of: String,
        /// The generation that it names.
        generation: Generation,
    },
    /// A manifest without one of the files that its ranks write.
    #[error("{file} names no {part}")]
    UnnamedPart {
        /// The manifest.
        file: String,
        /// The part.
        part: String,
    },
}

/// What became of the check of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Soundness {
    /// Every part is what was written.
    Whole,
    /// Something is wrong.
    Damaged {
        /// All that is.
        faults: Vec<CheckpointFault>,
    },
    /// The run has retired it during the check.
    Retired,
}

/// A checkpoint that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedCheckpoint {
    /// The step that it holds.
    pub step: Step,
    /// Its directory, relative to the run.
    pub directory: String,
    /// How many parts it has.
    pub parts: usize,
    /// Bytes of all parts together.
    pub bytes: u64,
    /// What was found.
    #[serde(flatten)]
    pub soundness: Soundness,
}

/// The checkpoints of the run at `url` that are in force, in the order of their records.
///
/// # Errors
/// There is no run, a record is damaged, or the store fails.
pub async fn kept_checkpoints(url: &str) -> Result<Vec<KeptCheckpoint>, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    if files.size("run.yaml").await?.is_none() {
        return Err(record::no_run(url));
    }
    let records = replay(&files).await?;
    let mut found = Vec::new();
    for (name, generation) in replayed(&records).kept {
        found.push(KeptCheckpoint {
            name,
            generation,
            manifest: read_manifest(&files, name, generation).await?,
        });
    }
    if found.iter().any(|one| one.manifest.is_err()) {
        // A run that goes on may have retired it since its record was read.
        let kept = kept(&replay(&files).await?);
        found.retain(|one| kept.contains(&one.name));
    }
    Ok(found)
}

/// Reads every part of these checkpoints of the run at `url` and compares it with its manifest;
/// `on_progress` hears of the bytes that were read.
///
/// # Errors
/// The store fails, or a record is damaged. A file that is missing or changed is no error.
pub async fn check_checkpoints(
    url: &str,
    checkpoints: &[KeptCheckpoint],
    on_progress: OnProgress<'_>,
) -> Result<Vec<CheckedCheckpoint>, CoordinatorError> {
    let files = Directory::open(&Stores::default(), url)?;
    let total = checkpoints.iter().map(KeptCheckpoint::bytes).sum();
    let mut before = 0;
    let mut checked = Vec::new();
    for checkpoint in checkpoints {
        let read = |bytes| on_progress(before + bytes, total);
        let mut soundness = check(&files, checkpoint, &read).await?;
        if matches!(soundness, Soundness::Damaged { .. })
            && !kept(&replay(&files).await?).contains(&checkpoint.name)
        {
            soundness = Soundness::Retired;
        }
        before += checkpoint.bytes();
        checked.push(CheckedCheckpoint {
            step: checkpoint.name.step,
            directory: checkpoint.name.directory(),
            parts: checkpoint.parts(),
            bytes: checkpoint.bytes(),
            soundness,
        });
    }
    Ok(checked)
}

async fn read_manifest(
    files: &Directory,
    name: CheckpointName,
    generation: Generation,
) -> Result<Result<Manifest, CheckpointFault>, CoordinatorError> {
    let file = format!("{}/{}", name.directory(), Manifest::FILE);
    let Some(bytes) = files.read(&file).await? else {
        return Ok(Err(CheckpointFault::Missing { file }));
    };
    let manifest: Manifest = match serde_json::from_slice(&bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            let what = error.to_string();
            return Ok(Err(CheckpointFault::NoManifest { file, what }));
        }
    };
    if (manifest.name, manifest.generation) != (name, generation) {
        return Ok(Err(CheckpointFault::AnotherManifest {
            file,
            of: manifest.name.directory(),
            generation: manifest.generation,
        }));
    }
    let world = manifest.world_size;
    let mut expected = world
        .ranks()
        .flat_map(|rank| Manifest::files_of(rank, world));
    let unnamed = expected.find(|file| manifest.parts.iter().all(|part| part.name != *file));
    Ok(match unnamed {
        Some(part) => Err(CheckpointFault::UnnamedPart { file, part }),
        None => Ok(manifest),
    })
}

async fn check(
    files: &Directory,
    checkpoint: &KeptCheckpoint,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Soundness, CoordinatorError> {
    let manifest = match &checkpoint.manifest {
        Ok(manifest) => manifest,
        Err(fault) => {
            let faults = vec![fault.clone()];
            return Ok(Soundness::Damaged { faults });
        }
    };
    let mut faults = Vec::new();
    let mut before = 0;
    for part in &manifest.parts {
        let file = format!("{}/{}", checkpoint.name.directory(), part.name);
        faults.extend(check_part(files, file, part, &|bytes| read(before + bytes)).await?);
        before += part.bytes;
        read(before);
    }
    Ok(match faults.is_empty() {
        true => Soundness::Whole,
        false => Soundness::Damaged { faults },
    })
}

async fn check_part(
    files: &Directory,
    file: String,
    part: &Part,
    read: &(dyn Fn(u64) + Sync),
) -> Result<Option<CheckpointFault>, CoordinatorError> {
    let other_size = |file, found| CheckpointFault::OtherSize {
        file,
        expected: part.bytes,
        found,
    };
    // One that has another size need not be read.
    match files.size(&file).await? {
        None => return Ok(Some(CheckpointFault::Missing { file })),
        Some(found) if found != part.bytes => return Ok(Some(other_size(file, found))),
        Some(_) => {}
    }
    let mut hash = Sha256::new();
    let mut done = 0;
    let size = files.read_in_parts(&file, |bytes| {
        hash.update(bytes);
        done += bytes.len() as u64;
        read(done);
    });
    let Some(size) = size.await? else {
        return Ok(Some(CheckpointFault::Missing { file }));
    };
    let digest = hash.finalize();
    let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(match (size == part.bytes, found == part.sha256) {
        (true, true) => None,
        (false, _) => Some(other_size(file, size)),
        (true, false) => Some(CheckpointFault::OtherContent {
            file,
            expected: part.sha256.clone(),
            found,
        }),
    })
}
