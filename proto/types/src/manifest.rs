//! A checkpoint's name and the file that makes it exist.

use crate::{Cursor, Generation, Nonce, Rank, Step, WorldSize};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The directory of one attempt at a checkpoint: `step-00001000-7f3a5c11`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckpointName {
    /// The committed step that all parts hold.
    pub step: Step,
    /// The attempt's nonce.
    pub attempt: Nonce,
}

impl fmt::Display for CheckpointName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step-{:08}-{:08x}", self.step.0, self.attempt.0)
    }
}

impl CheckpointName {
    /// The directory's path relative to the run: `checkpoints/step-...`.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("checkpoints/{self}")
    }
}

/// One file of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file's name within the checkpoint's directory.
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, lower-case hexadecimal.
    pub sha256: String,
}

/// `manifest.json`: written last, put-if-absent, when every part is in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format's version: 1.
    pub version: u32,
    /// The run's name.
    pub run: String,
    /// The attempt.
    pub name: CheckpointName,
    /// The generation that committed the step.
    pub generation: Generation,
    /// How many ranks wrote parts.
    pub world_size: WorldSize,
    /// The run's seed.
    pub seed: u64,
    /// Every stream's position at the step, by stream.
    pub cursors: Vec<Cursor>,
    /// The files, by name.
    pub parts: Vec<Part>,
}

/// The version of [`Manifest`] that this build writes and reads.
pub const MANIFEST_VERSION: u32 = 1;

impl Manifest {
    /// The file that makes a checkpoint exist.
    pub const FILE: &'static str = "manifest.json";
    /// open_clip's model file.
    pub const MODEL_FILE: &'static str = "open_clip_model.safetensors";
    /// open_clip's configuration file.
    pub const MODEL_CONFIG_FILE: &'static str = "open_clip_config.json";

    /// The name of the optimiser part that a rank writes: `optimizer-00001-of-00004.safetensors`.
    #[must_use]
    pub fn optimizer_file(rank: Rank, world: WorldSize) -> String {
        format!("optimizer-{:05}-of-{:05}.safetensors", rank.0 + 1, world.0)
    }

    /// The files that a rank writes: its optimiser part, and on rank 0 the model and its
    /// configuration too.
    #[must_use]
    pub fn files_of(rank: Rank, world: WorldSize) -> Vec<String> {
        let mut files = vec![Self::optimizer_file(rank, world)];
        if rank == Rank(0) {
            files.push(Self::MODEL_FILE.to_owned());
            files.push(Self::MODEL_CONFIG_FILE.to_owned());
        }
        files
    }
}
