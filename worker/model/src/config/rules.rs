//! Fields of open_clip that are accepted at one value alone, and fields that are not used.

use serde_json::Value;

use super::{IMAGE_MEAN, IMAGE_STD};

/// What a field that has no meaning here may hold.
pub(super) enum Allows {
    /// Null, or an empty object.
    Nothing,
    /// That truth value.
    Flag(bool),
    /// That number.
    Number(f64),
    /// That word.
    Word(&'static str),
    /// Those numbers, to six digits.
    Numbers([f64; 3]),
    /// An object with nothing but that number under that key, or an empty one.
    Entry(&'static str, f64),
    /// Any value: the field acts only beside another one, which is refused.
    Anything,
}

/// One field and what it may hold; null is always accepted.
pub(super) struct Rule {
    pub(super) key: &'static str,
    pub(super) allows: Allows,
    /// Said in place of the usual words when the value is refused.
    reason: Option<&'static str>,
}

impl Allows {
    pub(super) fn holds(&self, value: &Value) -> bool {
        match self {
            Self::Nothing => value.as_object().is_some_and(serde_json::Map::is_empty),
            Self::Flag(flag) => value.as_bool() == Some(*flag),
            Self::Number(number) => value.as_f64() == Some(*number),
            Self::Word(word) => value.as_str() == Some(*word),
            Self::Numbers(numbers) => value.as_array().is_some_and(|list| {
                list.len() == numbers.len()
                    && list.iter().zip(numbers).all(|(value, number)| {
                        value
                            .as_f64()
                            .is_some_and(|value| (value - number).abs() < 1e-6)
                    })
            }),
            Self::Entry(key, number) => value.as_object().is_some_and(|object| {
                object
                    .iter()
                    .all(|(found, value)| found == key && value.as_f64() == Some(*number))
            }),
            Self::Anything => true,
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Nothing | Self::Anything => "remove it".to_owned(),
            Self::Flag(flag) => format!("set it to {flag} or remove it"),
            Self::Number(number) => format!("set it to {number:?} or remove it"),
            Self::Word(word) => format!("set it to \"{word}\" or remove it"),
            Self::Numbers(numbers) => format!("set it to {numbers:?} or remove it"),
            Self::Entry(key, number) => format!("set it to {{\"{key}\": {number:?}}} or remove it"),
        }
    }
}

impl Rule {
    pub(super) fn message(&self, value: &Value) -> String {
        match self.reason {
            Some(reason) => format!("{value} is not supported: {reason}"),
            None => format!(
                "{value} changes the mathematics and is not supported; {}",
                self.allows.remedy()
            ),
        }
    }
}

const fn only(key: &'static str, allows: Allows) -> Rule {
    Rule {
        key,
        allows,
        reason: None,
    }
}

const fn unused(key: &'static str) -> Rule {
    only(key, Allows::Anything)
}

const fn refused(key: &'static str, reason: &'static str) -> Rule {
    Rule {
        key,
        allows: Allows::Nothing,
        reason: Some(reason),
    }
}

const TIMM: &str = "image towers from timm are not built; give layers, width and patch_size of a \
                    ViT or a ModifiedResNet";
const HUGGING_FACE: &str = "text towers and tokenisers from Hugging Face are not built; give \
                            width, heads and layers of open_clip's own text Transformer";

/// Epsilon of every layer norm, PyTorch's default.
const EPS: Allows = Allows::Entry("eps", 1e-5);

/// Beside the two towers. `custom_text` changes only the names of keys inside open_clip.
pub(super) const TOP: &[Rule] = &[
    unused("custom_text"),
    only("nonscalar_logit_scale", Allows::Flag(false)),
    refused(
        "multimodal_cfg",
        "caption decoders (CoCa) are not built; give a CLIP model",
    ),
];

/// `vision_cfg` with a ViT.
pub(super) const VIT: &[Rule] = &[
    only("ls_init_value", Allows::Nothing),
    only("no_ln_pre", Allows::Flag(false)),
    only("pos_embed_type", Allows::Word("learnable")),
    only("final_ln_after_pool", Allows::Flag(false)),
    only("pool_type", Allows::Word("tok")),
    only("output_tokens", Allows::Flag(false)),
    only("attentional_pool", Allows::Flag(false)),
    unused("attn_pooler_queries"),
    unused("attn_pooler_heads"),
    only("global_average_pool", Allows::Flag(false)),
    only("input_patchnorm", Allows::Flag(false)),
    only("block_type", Allows::Word("default")),
    only("qk_norm", Allows::Flag(false)),
    only("scaled_cosine_attn", Allows::Flag(false)),
    only("scale_heads", Allows::Flag(false)),
    only("scale_attn_inner", Allows::Flag(false)),
    only("scale_attn", Allows::Flag(false)),
    only("scale_fc", Allows::Flag(false)),
    only("act_kwargs", Allows::Nothing),
    only("norm_kwargs", EPS),
    refused("timm_model_name", TIMM),
    unused("timm_model_pretrained"),
    unused("timm_pool"),
    unused("timm_proj"),
    unused("timm_proj_bias"),
    unused("timm_drop"),
    unused("timm_drop_path"),
];

/// `vision_cfg` with a ModifiedResNet: open_clip reads no other field for one.
pub(super) const RESNET: &[Rule] = &[
    unused("patch_size"),
    unused("mlp_ratio"),
    only("output_tokens", Allows::Flag(false)),
    only("patch_dropout", Allows::Number(0.0)),
    only("ls_init_value", Allows::Nothing),
    refused("timm_model_name", TIMM),
];

/// `text_cfg`.
pub(super) const TEXT: &[Rule] = &[
    only("ls_init_value", Allows::Nothing),
    only("embed_cls", Allows::Flag(false)),
    unused("pad_id"),
    unused("eos_id"),
    only("no_causal_mask", Allows::Flag(false)),
    only("final_ln_after_pool", Allows::Flag(false)),
    only("pool_type", Allows::Word("argmax")),
    only("proj_bias", Allows::Flag(false)),
    only("proj_type", Allows::Word("linear")),
    only("output_tokens", Allows::Flag(false)),
    only("block_type", Allows::Word("default")),
    only("qk_norm", Allows::Flag(false)),
    only("scaled_cosine_attn", Allows::Flag(false)),
    only("scale_heads", Allows::Flag(false)),
    only("scale_attn_inner", Allows::Flag(false)),
    only("scale_attn", Allows::Flag(false)),
    only("scale_fc", Allows::Flag(false)),
    only("act_kwargs", Allows::Nothing),
    only("norm_kwargs", EPS),
    unused("tokenizer_mode"),
    only("tokenizer_kwargs", Allows::Nothing),
    refused("hf_tokenizer_name", HUGGING_FACE),
    refused("hf_model_name", HUGGING_FACE),
    unused("hf_model_pretrained"),
    unused("hf_proj_type"),
    unused("hf_pooler_type"),
];

/// `preprocess_cfg` of an `open_clip_config.json`.
pub(super) const PREPROCESS: &[Rule] = &[
    only("mean", Allows::Numbers(IMAGE_MEAN)),
    only("std", Allows::Numbers(IMAGE_STD)),
    only("interpolation", Allows::Word("bicubic")),
    only("resize_mode", Allows::Word("shortest")),
    only("mode", Allows::Word("RGB")),
    unused("size"),
    unused("fill_color"),
];
