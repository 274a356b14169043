//! Weights from elsewhere: open_clip's files of every format, in a store or on this machine.

mod pytorch;
mod safetensors_file;

use crate::WorkerError;
use crate::storage::{LocalFile, Storage};
use std::path::Path;
use twinspan_model::config::ModelConfig;
use twinspan_model::openclip::{ModelWeights, StateDict, WeightsError, check_model, read_model};
use twinspan_model::towers::Clip;
use twinspan_types::Manifest;

/// What the weights of a directory may be called, in open_clip's order of preference.
const NAMES: [&str; 8] = [
    Manifest::MODEL_FILE,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
];

/// How the name of a weights file ends.
const ENDINGS: [&str; 4] = [".safetensors", ".pt", ".pth", ".bin"];

/// A file of weights in its directory; nothing but its presence is known.
pub struct WeightsFile {
    storage: Storage,
    name: String,
}

impl WeightsFile {
    /// Whether a URL names a file of weights, not a directory that may hold one.
    #[must_use]
    pub fn is_named_by(url: &str) -> bool {
        ENDINGS.iter().any(|ending| url.ends_with(ending))
    }

    /// Finds the weights at `url`: a `.safetensors`, `.pt`, `.pth` or `.bin` file, or a directory
    /// with one under a name that open_clip looks for.
    ///
    /// # Errors
    /// There is none, or the store refuses.
    pub fn find(url: &str) -> Result<Self, WorkerError> {
        let found = Self::find_if_present(url)?;
        found.ok_or_else(|| WorkerError::NoWeights {
            url: url.to_owned(),
            names: NAMES.join(", "),
        })
    }

    /// As [`Self::find`]; nothing where there is none.
    ///
    /// # Errors
    /// The store refuses.
    pub fn find_if_present(url: &str) -> Result<Option<Self>, WorkerError> {
        let (directory, names) = match url.rsplit_once('/') {
            Some((directory, file)) if Self::is_named_by(url) => (directory, vec![file]),
            _ => (url, NAMES.to_vec()),
        };
        let storage = Storage::open_to_read(directory)?;
        for name in names {
            if storage.has(name)? {
                let name = name.to_owned();
                return Ok(Some(Self { storage, name }));
            }
        }
        Ok(None)
    }

    /// The directory that it lies in.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Its name in the directory.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.storage.url_of(&self.name)
    }

    /// Brings the whole file to this machine, where it does not lie there already.
    ///
    /// # Errors
    /// The store refuses, or there is no room for a copy.
    pub fn fetch(&self) -> Result<LocalFile, WorkerError> {
        self.storage.fetch(&self.name)
    }

    /// Reads a fetched file as the weights of a model, one tensor at a time.
    ///
    /// # Errors
    /// It is of no known format, holds code, is damaged, or does not fit the model: all tensors
    /// that do not, at once.
    pub fn read(&self, file: &LocalFile, clip: &Clip) -> Result<ModelWeights, WorkerError> {
        self.opened(file.path(), |open| read_model(clip, open))
    }

    /// What a reader makes of the file, which lies at `path`.
    fn opened<T>(
        &self,
        path: &Path,
        read: impl FnOnce(&dyn StateDict) -> Result<T, WeightsError>,
    ) -> Result<T, WorkerError> {
        let made = open(&self.name, path).and_then(|open| read(open.as_ref()));
        made.map_err(|source| WorkerError::Weights {
            url: self.url(),
            source,
        })
    }
}

/// A file's tensors; its name's ending tells the format.
fn open(name: &str, path: &Path) -> Result<Box<dyn StateDict>, WeightsError> {
    match name.ends_with(".safetensors") {
        true => Ok(Box::new(safetensors_file::SafetensorsFile::open(path)?)),
        false => Ok(Box::new(pytorch::PytorchFile::open(path)?)),
    }
}

/// Checks before a run that its first weights are there, and that a configuration beside them is of
/// the same formulas; where they lie on this machine, that they fit its model as well.
///
/// # Errors
/// As [`WeightsFile::find`] and [`WeightsFile::read`], or the configurations differ.
pub fn check(url: &str, model: &ModelConfig) -> Result<(), WorkerError> {
    let found = WeightsFile::find(url)?;
    if let Some(text) = found.storage.read_if_present(Manifest::MODEL_CONFIG_FILE)? {
        let file = found.storage.url_of(Manifest::MODEL_CONFIG_FILE);
        let theirs = ModelConfig::from_json(&String::from_utf8_lossy(&text), &file)?;
        if theirs.quick_gelu != model.quick_gelu {
            return Err(WorkerError::OtherActivation {
                file,
                quick_gelu: theirs.quick_gelu,
            });
        }
    }
    let Some(path) = found.storage.local_path(&found.name) else {
        return Ok(());
    };
    let clip = Clip::new(model.clone());
    found.opened(&path, |open| check_model(&clip, open))
}

/// The weights at `url` for a model whose training begins with them; says what was resized.
///
/// # Errors
/// As [`WeightsFile::find`], [`WeightsFile::fetch`] and [`WeightsFile::read`].
pub fn import(url: &str, clip: &Clip) -> Result<ModelWeights, WorkerError> {
    let found = WeightsFile::find(url)?;
    let weights = found.read(&found.fetch()?, clip)?;
    for resized in &weights.resized {
        tracing::info!("{}: resized {resized}", found.url());
    }
    Ok(weights)
}
