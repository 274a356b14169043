//! A checkpoint's model, ready to embed.

use crate::WorkerError;
use crate::checkpoint::sha256;
use crate::grouping::group_by_cut;
use crate::storage::Storage;
use crate::weights::WeightsFile;
use std::borrow::Cow;
use std::sync::Arc;
use twinspan_data::Tokenizer;
use twinspan_data::vectors::Space;
use twinspan_model::config::ModelConfig;
use twinspan_model::openclip::ModelWeights;
use twinspan_model::params::Tower;
use twinspan_model::towers::{BatchNorm, Clip, Weights};
use twinspan_model::{Device, Tensor, TensorData, to_vec};
use twinspan_types::Manifest;

/// Pictures or texts that go through a tower at once.
const MICRO_BATCH: usize = 64;

/// A model with its weights, for inference.
pub struct EvalModel {
    clip: Clip,
    params: Vec<f32>,
    buffers: Vec<f32>,
    fingerprint: String,
    tokenizer: Arc<Tokenizer>,
    device: Device,
}

impl EvalModel {
    /// Loads the model at `url`: a checkpoint's directory, or a file of weights with
    /// `open_clip_config.json` beside it. Where there is a manifest, both must be what it names; a
    /// directory without one is open_clip's own. Weights are read a tensor at a time, so that this
    /// takes little more memory than the model itself.
    ///
    /// # Errors
    /// A file is missing, or the weights do not fit the configuration.
    pub fn load(url: &str) -> Result<Self, WorkerError> {
        let weights = WeightsFile::find(url)?;
        let storage = weights.storage();
        let config = storage.read(Manifest::MODEL_CONFIG_FILE)?;
        let config_hash = sha256(&config);
        let manifest = manifest(storage)?;
        let named = |name: &str, bytes: u64, sha256: &str| {
            check_part(storage, manifest.as_ref(), name, bytes, sha256)
        };
        named(
            Manifest::MODEL_CONFIG_FILE,
            config.len() as u64,
            &config_hash,
        )?;
        let file = weights.fetch()?;
        named(weights.name(), file.bytes, &file.sha256)?;
        let config_file = storage.url_of(Manifest::MODEL_CONFIG_FILE);
        let config = ModelConfig::from_json(&String::from_utf8_lossy(&config), &config_file)?;
        let clip = Clip::new(config);
        let ModelWeights {
            params, buffers, ..
        } = weights.read(&file, &clip)?;
        let text = &clip.config.text;
        let tokenizer = Tokenizer::new(text.context_length, text.vocab_size)?;
        Ok(Self {
            fingerprint: sha256((config_hash + &file.sha256).as_bytes()),
            tokenizer: Arc::new(tokenizer),
            clip,
            params,
            buffers,
            device: Device::flex(),
        })
    }

    /// A model of parameters and running statistics that are in memory, which embeds on `device`;
    /// `name` tells it from others.
    #[must_use]
    pub fn of_weights(
        clip: Clip,
        (params, buffers): (Vec<f32>, Vec<f32>),
        tokenizer: Arc<Tokenizer>,
        name: String,
        device: Device,
    ) -> Self {
        Self {
            fingerprint: name,
            tokenizer,
            clip,
            params,
            buffers,
            device,
        }
    }

    /// Its parameters, in the table's flat layout, and its batch norms' running statistics.
    #[must_use]
    pub(crate) fn numbers(&self) -> (&[f32], &[f32]) {
        (&self.params, &self.buffers)
    }

    /// Side of the square pictures that it takes, in pixels.
    #[must_use]
    pub fn image_size(&self) -> u32 {
        self.clip.config.vision.image_size() as u32
    }

    /// What turns its texts into tokens.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Width of an embedding.
    #[must_use]
    pub fn embed_dim(&self) -> usize {
        self.clip.config.embed_dim
    }

    /// What cosines are multiplied with before the softmax.
    #[must_use]
    pub fn logit_scale(&self) -> f32 {
        self.params[self.clip.params.logit_scale()].exp()
    }

    /// Where its embeddings live: vectors of equal spaces can be compared. The fingerprint is of
    /// its configuration's and weights' bytes.
    #[must_use]
    pub fn space(&self) -> Space {
        Space {
            model: self.fingerprint.clone(),
            embed_dim: self.embed_dim(),
        }
    }

    /// Unit embeddings of pictures, u8 [n, H, W, 3] -> [n, e] row by row.
    #[must_use]
    pub fn embed_images(&self, pixels: &[u8]) -> Vec<f32> {
        self.images(pixels, None)
    }

    /// As [`EvalModel::embed_images`], to the same bits whatever else is embedded with a picture: the
    /// order in which a matrix product sums depends on the matrices' sizes, so all batches are of one
    /// size.
    #[must_use]
    pub(super) fn embed_images_evenly(&self, pixels: &[u8]) -> Vec<f32> {
        self.images(pixels, Some(MICRO_BATCH))
    }

    /// Unit embeddings of tokenised texts -> [n, e] row by row.
    #[must_use]
    pub fn embed_texts(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        self.texts(texts, None)
    }

    /// As [`EvalModel::embed_texts`], to the same bits whatever else is embedded with a text.
    #[must_use]
    pub(super) fn embed_texts_evenly(&self, texts: &[Vec<u32>]) -> Vec<f32> {
        self.texts(texts, Some(MICRO_BATCH))
    }

    /// In batches that are filled up with blank pictures, where their size is given.
    fn images(&self, pixels: &[u8], size: Option<usize>) -> Vec<f32> {
        let weights = self.weights(Tower::Image);
        let picture = 3 * (self.image_size() as usize).pow(2);
        let mut embeddings = Vec::new();
        for group in pixels.chunks(picture * MICRO_BATCH) {
            let own = group.len() / picture;
            let batch = size.unwrap_or(own);
            // Only a set's last batch is short.
            let filled = match own < batch {
                true => Cow::Owned([group, &vec![0; picture * (batch - own)]].concat()),
                false => Cow::Borrowed(group),
            };
            let norm = BatchNorm::Running(&self.buffers);
            let forward = self.clip.embed_images(&weights, &filled, batch, norm, None);
            let rows = to_vec(forward.embeddings);
            embeddings.extend(&rows[..own * self.embed_dim()]);
        }
        embeddings
    }

    /// In batches that are filled up with blank texts, where their size is given.
    fn texts(&self, texts: &[Vec<u32>], size: Option<usize>) -> Vec<f32> {
        let weights = self.weights(Tower::Text);
        let e = self.embed_dim();
        let mut embeddings = vec![0.0; texts.len() * e];
        for mut group in group_by_cut(texts, MICRO_BATCH, self.tokenizer.context_length()) {
            let batch = size.unwrap_or(group.rows.len());
            group.ids.resize(batch * group.length, 0);
            let forward = self.clip.embed_texts(&weights, &group.ids, group.length);
            let rows = to_vec(forward.embeddings);
            for (row, embedding) in group.rows.iter().zip(rows.chunks(e)) {
                embeddings[row * e..][..e].copy_from_slice(embedding);
            }
        }
        embeddings
    }

    /// One tower's tensors: both together would be as large as the model once more.
    fn weights(&self, tower: Tower) -> Weights<'_> {
        self.clip.tower_weights(tower, &self.params, &self.device)
    }
}

/// `a [n, e] b^T [e, m]` -> [n, m] row by row.
pub(super) fn similarities(a: &[f32], b: &[f32], e: usize) -> Vec<f32> {
    let device = Device::flex();
    let (a_ne, b_me) = (matrix(a, e, &device), matrix(b, e, &device));
    to_vec(a_ne.matmul(b_me.transpose()))
}

/// Rows of `width` as [n, width].
pub(super) fn matrix(rows: &[f32], width: usize, device: &Device) -> Tensor<2> {
    let data = TensorData::new(rows.to_vec(), [rows.len() / width, width]);
    Tensor::from_data(data, device)
}

/// The directory's manifest; none where there is none.
fn manifest(storage: &Storage) -> Result<Option<Manifest>, WorkerError> {
    let bytes = storage.read_if_present(Manifest::FILE)?;
    let parsed = bytes.map(|bytes| serde_json::from_slice(&bytes));
    parsed
        .transpose()
        .map_err(|source| WorkerError::CorruptFile {
            url: storage.url_of(Manifest::FILE),
            source,
        })
}

fn check_part(
    storage: &Storage,
    manifest: Option<&Manifest>,
    name: &str,
    bytes: u64,
    sha256: &str,
) -> Result<(), WorkerError> {
    let Some(manifest) = manifest else {
        return Ok(());
    };
    let part = manifest.parts.iter().find(|part| part.name == name);
    match part.is_some_and(|part| part.bytes == bytes && part.sha256 == sha256) {
        true => Ok(()),
        false => Err(WorkerError::CorruptCheckpoint {
            url: storage.url_of(name),
            what: "its size or SHA-256 is not the manifest's".to_owned(),
        }),
    }
}
