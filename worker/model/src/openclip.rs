//! open_clip's files, and the optimiser's beside them: bytes in, bytes out.

mod optimizer;
mod resize;
mod state_dict;
mod tensors;
#[cfg(test)]
mod tests;

pub use optimizer::{read_optimizer_parts, write_optimizer_part};
pub use safetensors::tensor::Dtype;
pub use state_dict::{StateDict, TensorInfo};

use safetensors::tensor::SafeTensors;
use serde_json::{Value, json};

use crate::config::{IMAGE_MEAN, IMAGE_STD, ModelConfig};
use crate::params::ParamSpec;
use crate::towers::Clip;
use tensors::{TensorBytes, Wanted, find, read, serialize};

/// Why weights or moments cannot be read. The caller knows the file's name and puts it in front.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are no safetensors file.
    #[error("not a whole safetensors file: {detail}; fetch it again")]
    NotSafetensors {
        /// The parser's words.
        detail: String,
    },
    /// The file is none of PyTorch's.
    #[error(
        "not a state dict that PyTorch wrote: {detail}; write one with torch.save(model.state_dict(), FILE), or a safetensors file"
    )]
    NotPytorch {
        /// What is wrong.
        detail: String,
    },
    /// The file holds something that PyTorch would have to run.
    #[error(
        "holds {what} where tensors should be, which is not run; write tensors alone with torch.save(model.state_dict(), FILE), or a safetensors file"
    )]
    Code {
        /// What it holds.
        what: String,
    },
    /// The values of a tensor cannot be read.
    #[error("{detail}; fetch it again, or take another one")]
    Unreadable {
        /// The reader's words.
        detail: String,
    },
    /// The tensors are not those of the model.
    #[error(
        "the tensors are not those of this model; give the model file that they were trained with{}",
        faults.iter().map(|fault| format!("\n  {fault}")).collect::<String>()
    )]
    OtherModel {
        /// Every missing, unexpected, doubled or misshapen tensor.
        faults: Vec<String>,
    },
}

/// Writes `open_clip_model.safetensors`: parameters and running statistics by open_clip's names.
/// `updates` is how often each batch norm has updated its statistics.
///
/// # Panics
/// If `flat` or `buffers` has another length than its table.
#[must_use]
pub fn write_model(clip: &Clip, flat: &[f32], buffers: &[f32], updates: u64) -> Vec<u8> {
    assert_eq!(flat.len(), clip.params.total(), "values of the parameters");
    assert_eq!(buffers.len(), clip.buffers.total(), "running statistics");
    let params = clip.params.specs().iter().map(|spec| {
        let values = &flat[spec.range()];
        (spec.name.clone(), TensorBytes::floats(&spec.shape, values))
    });
    let norms = clip.buffers.norms().iter().flat_map(|norm| {
        let (mean, variance) = (&buffers[norm.mean()], &buffers[norm.variance()]);
        [
            ("running_mean", TensorBytes::floats(&[norm.channels], mean)),
            (
                "running_var",
                TensorBytes::floats(&[norm.channels], variance),
            ),
            ("num_batches_tracked", TensorBytes::count(updates)),
        ]
        .map(|(field, tensor)| (format!("{}.{field}", norm.name), tensor))
    });
    serialize(params.chain(norms))
}

/// The numbers of a model file.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelWeights {
    /// Parameters in the table's flat layout.
    pub params: Vec<f32>,
    /// Running statistics in the buffer table's layout.
    pub buffers: Vec<f32>,
    /// Positional embeddings that had another size, and which.
    pub resized: Vec<String>,
}

/// The tensors of safetensors bytes.
///
/// # Errors
/// When they are no whole safetensors file.
pub fn parse_safetensors(bytes: &[u8]) -> Result<SafeTensors<'_>, WeightsError> {
    SafeTensors::deserialize(bytes).map_err(|error| WeightsError::NotSafetensors {
        detail: error.to_string(),
    })
}

/// Reads a model's weights by open_clip's names. Keys may begin with `module.` (data parallel) or
/// `_orig_mod.` (compiled) and, for the text tower, with `text.` (custom text models). Positional
/// embeddings for pictures or texts of another size are resized, floats of any width accepted.
///
/// # Errors
/// All tensors that do not fit the model, at once, or the first that cannot be read or is not finite.
pub fn read_model(clip: &Clip, file: &dyn StateDict) -> Result<ModelWeights, WeightsError> {
    let wanted = wanted(clip);
    let matches = find(&[file], &wanted, name_of)?;
    let mut params = vec![0.0; clip.params.total()];
    let mut buffers = clip.buffers.init();
    let mut targets = split(&mut params, &wanted);
    let params_wanted = targets.len();
    targets.extend(split(&mut buffers, &wanted[params_wanted..]));
    let resized = read(matches, &wanted, &mut targets)?;
    Ok(ModelWeights {
        params,
        buffers,
        resized,
    })
}

/// Whether [`read_model`] would find all that it needs; no value is read.
///
/// # Errors
/// All tensors that do not fit the model, at once.
pub fn check_model(clip: &Clip, file: &dyn StateDict) -> Result<(), WeightsError> {
    find(&[file], &wanted(clip), name_of).map(|_| ())
}

/// What a model file holds: parameters, then running statistics, in the order of their buffers.
fn wanted(clip: &Clip) -> Vec<Wanted> {
    let norms = clip.buffers.norms().iter().flat_map(|norm| {
        ["running_mean", "running_var"].map(|field| Wanted {
            name: format!("{}.{field}", norm.name),
            shape: vec![norm.channels],
        })
    });
    wanted_params(clip, "").into_iter().chain(norms).collect()
}

/// Every parameter, its name behind `prefix`.
fn wanted_params(clip: &Clip, prefix: &str) -> Vec<Wanted> {
    let specs = clip.params.specs().iter();
    let one = |spec: &ParamSpec| Wanted {
        name: format!("{prefix}{}", spec.name),
        shape: spec.shape.clone(),
    };
    specs.map(one).collect()
}

/// A buffer cut into the pieces of what fills it from its beginning to its end.
fn split<'a>(buffer: &'a mut [f32], wanted: &[Wanted]) -> Vec<&'a mut [f32]> {
    let mut rest = buffer;
    let mut pieces = Vec::new();
    for one in wanted {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at_mut(one.shape.iter().product());
        rest = behind;
        pieces.push(piece);
    }
    pieces
}

/// Numbers that OpenAI's own files keep among the weights.
const SIZES: [&str; 3] = ["input_resolution", "context_length", "vocab_size"];

/// The name that a key of a model file has here; none for what is no weight.
fn name_of(key: &str) -> Option<&str> {
    let mut key = key;
    while let Some(inner) = ["module.", "_orig_mod."]
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
    {
        key = inner;
    }
    let key = key.strip_prefix("text.").unwrap_or(key);
    // A count of updates; the step holds it.
    (!key.ends_with(".num_batches_tracked") && !SIZES.contains(&key)).then_some(key)
}

/// The content of `open_clip_config.json`: the model file as it was read, and how pictures are
/// prepared.
#[must_use]
pub fn open_clip_config(config: &ModelConfig) -> Value {
    json!({
        "model_cfg": config.source,
        "preprocess_cfg": {
            "mean": IMAGE_MEAN,
            "std": IMAGE_STD,
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    })
}
