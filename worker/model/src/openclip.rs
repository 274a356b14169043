//! open_clip's files, and the optimiser's beside them: bytes in, bytes out.

mod optimizer;
mod tensors;
#[cfg(test)]
mod tests;

pub use optimizer::{read_optimizer_parts, write_optimizer_part};

use serde_json::{Value, json};

use crate::config::{IMAGE_MEAN, IMAGE_STD, ModelConfig};
use crate::towers::Clip;
use tensors::{Slot, TensorBytes, fill, serialize};

/// Why weights or moments cannot be read. The caller knows the file's name and puts it in front.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The bytes are no safetensors file.
    #[error(
        "not a safetensors file: {detail}; fetch it again, or convert a .pt file with open_clip"
    )]
    NotSafetensors {
        /// The parser's words.
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

/// Reads a model file of open_clip's into parameters and running statistics. Keys may begin with
/// `module.` (data parallel) and, for the text tower, with `text.` (custom text models).
///
/// # Errors
/// When the bytes are no safetensors file, or all tensors that do not fit the model, at once.
pub fn read_model(clip: &Clip, bytes: &[u8]) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
    let mut flat = vec![0.0; clip.params.total()];
    let mut buffers = clip.buffers.init();
    let mut slots = param_slots(clip, "", &mut flat);
    let mut rest = buffers.as_mut_slice();
    for norm in clip.buffers.norms() {
        for field in ["running_mean", "running_var"] {
            let (values, behind) = rest.split_at_mut(norm.channels);
            rest = behind;
            let name = format!("{}.{field}", norm.name);
            slots.push(Slot::new(name, &[norm.channels], values));
        }
    }
    fill(&[bytes], slots, |key| {
        let key = key.strip_prefix("module.").unwrap_or(key);
        let key = key.strip_prefix("text.").unwrap_or(key);
        // A count of updates; the step holds it.
        (!key.ends_with(".num_batches_tracked")).then_some(key)
    })?;
    Ok((flat, buffers))
}

/// Places for every parameter in a flat buffer, each name behind `prefix`.
fn param_slots<'a>(clip: &Clip, prefix: &str, flat: &'a mut [f32]) -> Vec<Slot<'a>> {
    let mut rest = flat;
    let mut slots = Vec::new();
    for spec in clip.params.specs() {
        let (values, behind) = rest.split_at_mut(spec.len());
        rest = behind;
        let name = format!("{prefix}{}", spec.name);
        slots.push(Slot::new(name, &spec.shape, values));
    }
    slots
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
