//! Models for tests.

use super::Clip;
use crate::config::ModelConfig;

/// A model file of the repository.
pub(crate) fn model_file(name: &str) -> ModelConfig {
    let path = format!(
        "{}/../../configs/models/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    ModelConfig::from_json(&text, &path).unwrap_or_else(|error| panic!("{error}"))
}

fn small(vision: &str) -> Clip {
    let text = r#"{"context_length": 12, "vocab_size": 40, "width": 16, "heads": 2, "layers": 2}"#;
    let json = format!(r#"{{"embed_dim": 8, "vision_cfg": {vision}, "text_cfg": {text}}}"#);
    let config = ModelConfig::from_json(&json, "small").unwrap_or_else(|error| panic!("{error}"));
    Clip::new(config)
}

/// A ViT of 4 patches.
pub(crate) fn small_vit() -> Clip {
    small(r#"{"layers": 2, "width": 16, "head_width": 8, "patch_size": 4, "image_size": 8}"#)
}

/// The same with patch dropout.
pub(crate) fn small_vit_dropping(share: f64) -> Clip {
    small(&format!(
        r#"{{"layers": 2, "width": 16, "head_width": 8, "patch_size": 4, "image_size": 8,
            "patch_dropout": {share}}}"#
    ))
}

/// A ModifiedResNet with a plain shortcut in its second stage and 4 positions at its end.
pub(crate) fn small_resnet() -> Clip {
    small(r#"{"layers": [1, 2, 1, 1], "width": 4, "head_width": 32, "image_size": 64}"#)
}
