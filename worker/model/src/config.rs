//! A CLIP model in numbers: open_clip's model JSON, every field checked.
//!
//! A field that changes the mathematics and is not implemented is a fault, never ignored: weights
//! trained under another formula would load into open_clip and be wrong there.

mod fields;
mod rules;
#[cfg(test)]
mod tests;

use std::cell::RefCell;

use serde_json::Value;
use twinspan_types::Fault;

use fields::Fields;

/// Mean of each colour (red, green, blue) that pictures are normalised with, on a scale of 0 to 1.
pub const IMAGE_MEAN: [f64; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
/// Standard deviation of each colour that pictures are normalised with.
pub const IMAGE_STD: [f64; 3] = [0.268_629_54, 0.261_302_58, 0.275_777_11];

/// Both towers and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Width of the common embedding space.
    pub embed_dim: usize,
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// `x * sigmoid(1.702 x)` in place of the exact GELU, in both towers.
    pub quick_gelu: bool,
    /// Logarithm of the first logit scale.
    pub init_logit_scale: f32,
    /// The first logit bias; a model that has one is trained with the sigmoid loss (SigLIP).
    pub init_logit_bias: Option<f32>,
    /// The `model_cfg` as it was read, to be written beside the weights.
    pub source: Value,
}

/// The image tower.
#[derive(Clone, Debug, PartialEq)]
pub enum VisionConfig {
    /// A Vision Transformer.
    ViT {
        /// Number of blocks.
        layers: usize,
        /// Width of the residual stream.
        width: usize,
        /// Width of one attention head.
        head_width: usize,
        /// Hidden width of the MLP over the width.
        mlp_ratio: f64,
        /// Side of a patch in pixels.
        patch_size: usize,
        /// Side of the square picture in pixels.
        image_size: usize,
        /// Share of a picture's patches that are left out in training.
        patch_dropout: f64,
    },
    /// OpenAI's ModifiedResNet.
    ResNet {
        /// Bottleneck blocks in each of the four stages.
        layers: [usize; 4],
        /// Channels after the stem.
        width: usize,
        /// Width of one head of the attention pooling.
        head_width: usize,
        /// Side of the square picture in pixels.
        image_size: usize,
    },
}

impl VisionConfig {
    /// Side of the square picture in pixels.
    #[must_use]
    pub const fn image_size(&self) -> usize {
        match self {
            Self::ViT { image_size, .. } | Self::ResNet { image_size, .. } => *image_size,
        }
    }
}

/// The causal text tower.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Most tokens in a text.
    pub context_length: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Hidden width of the MLP over the width.
    pub mlp_ratio: f64,
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelConfigError {
    /// The file is not JSON.
    #[error("{file}: not JSON: {detail}; give a model file in open_clip's format")]
    NotJson {
        /// The file.
        file: String,
        /// The parser's words, with line and column.
        detail: String,
    },
    /// The file is JSON, but values in it are wrong or not supported.
    #[error("{file}: not a model that twinspan can train{}", list(faults))]
    Faults {
        /// The file.
        file: String,
        /// All of them.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

impl ModelConfig {
    /// Reads open_clip's model JSON, or the `open_clip_config.json` of a checkpoint, which holds
    /// it as `model_cfg`. `file` names the source in errors. Absent fields take open_clip's
    /// defaults.
    ///
    /// # Errors
    /// All faults of the file at once, each with its path and its remedy.
    pub fn from_json(text: &str, file: &str) -> Result<Self, ModelConfigError> {
        let json: Value =
            serde_json::from_str(text).map_err(|error| ModelConfigError::NotJson {
                file: file.to_owned(),
                detail: error.to_string(),
            })?;
        let faults = RefCell::default();
        let config = match json.get("model_cfg").cloned() {
            Some(model) => {
                let mut whole = Fields::new("", json, &faults);
                whole.take("model_cfg");
                whole.section("preprocess_cfg").finish(rules::PREPROCESS);
                whole.finish(&[]);
                Self::read("model_cfg", model, &faults)
            }
            None => Self::read("", json, &faults),
        };
        match faults.into_inner() {
            faults if faults.is_empty() => Ok(config),
            faults => Err(ModelConfigError::Faults {
                file: file.to_owned(),
                faults,
            }),
        }
    }

    fn read(path: &str, source: Value, faults: &RefCell<Vec<Fault>>) -> Self {
        let mut top = Fields::new(path, source.clone(), faults);
        let config = Self {
            embed_dim: top.count("embed_dim", None),
            vision: vision(top.required("vision_cfg")),
            text: text(top.required("text_cfg")),
            quick_gelu: top.flag("quick_gelu", false),
            init_logit_scale: top.number("init_logit_scale", (1.0_f64 / 0.07).ln()) as f32,
            init_logit_bias: top
                .optional_number("init_logit_bias")
                .map(|bias| bias as f32),
            source,
        };
        top.finish(rules::TOP);
        config
    }
}

fn vision(mut fields: Fields<'_>) -> VisionConfig {
    let width = fields.count("width", Some(768));
    let head_width = fields.count("head_width", Some(64));
    let image_size = fields.side("image_size", 224);
    if let Some(layers) = fields.stages("layers") {
        let heads = resnet_pool_heads(width, head_width);
        if !width.is_multiple_of(2) {
            fields.fault("width", format!("{width} is odd; the stem halves it"));
        }
        if !(32 * width).is_multiple_of(heads) {
            fields.fault(
                "head_width",
                format!("{head_width} does not divide 32 times width {width}"),
            );
        }
        if !image_size.is_multiple_of(32) {
            fields.fault(
                "image_size",
                format!("{image_size} is not divisible by 32, as a ResNet needs"),
            );
        }
        fields.finish(rules::RESNET);
        return VisionConfig::ResNet {
            layers,
            width,
            head_width,
            image_size,
        };
    }
    let patch_size = fields.count("patch_size", Some(16));
    if !width.is_multiple_of(head_width) {
        fields.fault(
            "head_width",
            format!("{head_width} does not divide width {width}"),
        );
    }
    if !image_size.is_multiple_of(patch_size) {
        fields.fault(
            "image_size",
            format!("{image_size} is not divisible by patch_size {patch_size}"),
        );
    }
    let config = VisionConfig::ViT {
        layers: fields.count("layers", Some(12)),
        width,
        head_width,
        mlp_ratio: fields.ratio("mlp_ratio", 4.0, width),
        patch_size,
        image_size,
        patch_dropout: fields.share("patch_dropout"),
    };
    fields.finish(rules::VIT);
    config
}

fn text(mut fields: Fields<'_>) -> TextConfig {
    let width = fields.count("width", Some(512));
    let heads = fields.count("heads", Some(8));
    if !width.is_multiple_of(heads) {
        fields.fault("heads", format!("{heads} does not divide width {width}"));
    }
    let config = TextConfig {
        context_length: fields.count("context_length", Some(77)),
        vocab_size: fields.count("vocab_size", Some(49_408)),
        width,
        heads,
        layers: fields.count("layers", Some(12)),
        mlp_ratio: fields.ratio("mlp_ratio", 4.0, width),
    };
    fields.finish(rules::TEXT);
    config
}

/// Hidden width of an MLP, as open_clip rounds it.
#[must_use]
pub fn mlp_width(width: usize, mlp_ratio: f64) -> usize {
    (width as f64 * mlp_ratio) as usize
}

/// Heads of a ModifiedResNet's attention pooling over its `32 * width` channels.
#[must_use]
pub fn resnet_pool_heads(width: usize, head_width: usize) -> usize {
    (32 * width / head_width).max(1)
}
