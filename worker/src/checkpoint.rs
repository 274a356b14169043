//! A rank's parts of a checkpoint, and the way back.

use crate::clock::Clock;
use crate::storage::Storage;
use crate::{TrainState, WorkerError};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use twinspan_model::openclip;
use twinspan_model::optim::Moments;
use twinspan_model::towers::Clip;
use twinspan_types::{CheckpointName, Manifest, Part, Rank, SpanName, Step, WorldSize};

/// What a rank stores of a checkpoint: taken between two updates, stored while training goes on.
pub struct Snapshot {
    files: Vec<(String, Bytes)>,
}

impl Snapshot {
    /// The files of `rank`: its share of the optimiser's moments, and on rank 0 the model.
    #[must_use]
    pub fn take(clip: &Clip, state: &TrainState, rank: Rank, world: WorldSize) -> Self {
        let Moments {
            exp_avg,
            exp_avg_sq,
        } = &state.moments;
        let (exp_avg, exp_avg_sq) = (exp_avg.to_host(), exp_avg_sq.to_host());
        let optimizer = openclip::write_optimizer_part(clip, &exp_avg, &exp_avg_sq, rank, world);
        let mut files = vec![(Manifest::optimizer_file(rank, world), optimizer.into())];
        if rank == Rank(0) {
            let params = state.params.to_host();
            let model = openclip::write_model(clip, &params, &state.buffers, state.step.0);
            let config = openclip::open_clip_config(&clip.config);
            files.push((Manifest::MODEL_FILE.to_owned(), model.into()));
            let config = format!("{config:#}\n");
            files.push((Manifest::MODEL_CONFIG_FILE.to_owned(), config.into()));
        }
        Self { files }
    }

    /// Stores the files below the run's directory, a span on the clock for each.
    ///
    /// # Errors
    /// When the store refuses one.
    pub fn store(
        &self,
        run: &Storage,
        name: CheckpointName,
        clock: &mut Clock<'_>,
    ) -> Result<Vec<Part>, WorkerError> {
        let directory = name.directory();
        let parts = self.files.iter().map(|(file, bytes)| {
            clock.enter_file(SpanName::Checkpoint, file);
            let part = Part {
                name: file.clone(),
                bytes: bytes.len() as u64,
                sha256: sha256(bytes),
            };
            run.write(&format!("{directory}/{}", part.name), bytes.clone())?;
            Ok(part)
        });
        parts.collect()
    }
}

/// The state that the checkpoint in `directory` (relative to the run) holds; every part is checked
/// against its manifest.
///
/// # Errors
/// A part is missing, is not what the manifest says, or does not fit the model.
pub fn restore(run: &Storage, directory: &str, clip: &Clip) -> Result<TrainState, WorkerError> {
    let manifest_file = format!("{directory}/{}", Manifest::FILE);
    let corrupt = |file: &str, what: String| WorkerError::CorruptCheckpoint {
        url: run.url_of(file),
        what,
    };
    let manifest: Manifest = serde_json::from_slice(&run.read(&manifest_file)?)
        .map_err(|error| corrupt(&manifest_file, error.to_string()))?;
    let weights = |source| WorkerError::Weights {
        url: run.url_of(directory),
        source,
    };
    let mut model = None;
    let mut optimizer = Vec::new();
    for part in &manifest.parts {
        let file = format!("{directory}/{}", part.name);
        let bytes = run.read(&file)?;
        if !is_part(part, &bytes) {
            return Err(corrupt(
                &file,
                "its size or SHA-256 is not the manifest's".to_owned(),
            ));
        }
        match part.name.as_str() {
            Manifest::MODEL_FILE => model = Some(bytes),
            Manifest::MODEL_CONFIG_FILE => {}
            _ => optimizer.push(bytes),
        }
    }
    let model = model.ok_or_else(|| {
        corrupt(
            &manifest_file,
            format!("it names no {}", Manifest::MODEL_FILE),
        )
    })?;
    let model = openclip::parse_safetensors(&model).map_err(weights)?;
    let model = openclip::read_model(clip, &model).map_err(weights)?;
    let parts: Vec<&[u8]> = optimizer.iter().map(AsRef::as_ref).collect();
    let (exp_avg, exp_avg_sq) = openclip::read_optimizer_parts(clip, &parts).map_err(weights)?;
    Ok(TrainState {
        params: model.params.into(),
        buffers: model.buffers,
        moments: Moments {
            exp_avg: exp_avg.into(),
            exp_avg_sq: exp_avg_sq.into(),
        },
        step: manifest.name.step,
        generation: manifest.generation,
        cursors: manifest.cursors,
        unfinished: None,
    })
}

/// A fingerprint of what must be equal on all ranks before the first step.
#[must_use]
pub fn fingerprint(state: &TrainState) -> u64 {
    let mut hash = Sha256::new();
    let Step(step) = state.step;
    hash.update(step.to_le_bytes());
    let numbers = [
        state.params.to_host(),
        Cow::Borrowed(state.buffers.as_slice()),
        state.moments.exp_avg.to_host(),
        state.moments.exp_avg_sq.to_host(),
    ];
    for chunk in numbers.iter().flat_map(|numbers| numbers.chunks(4096)) {
        let bytes: Vec<u8> = chunk
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        hash.update(&bytes);
    }
    let digest = hash.finalize();
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Whether these are the bytes that a manifest's part names.
fn is_part(part: &Part, bytes: &[u8]) -> bool {
    bytes.len() as u64 == part.bytes && sha256(bytes) == part.sha256
}

/// SHA-256, lower-case hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::new_with_prefix(bytes))
}

/// A finished hash, lower-case hexadecimal.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
