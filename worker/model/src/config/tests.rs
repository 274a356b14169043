#![allow(clippy::unwrap_used, reason = "tests")]

mod built_in;

use super::*;

fn faults(text: &str) -> Vec<String> {
    match ModelConfig::from_json(text, "model.json") {
        Err(ModelConfigError::Faults { faults, .. }) => {
            faults.iter().map(ToString::to_string).collect()
        }
        other => panic!("expected faults, got {other:?}"),
    }
}

#[test]
fn every_model_file_of_the_repository_is_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/models");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).expect("configs/models exists") {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.display().to_string();
        let config = ModelConfig::from_json(&text, &name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.text.context_length, 77, "{name}");
        assert_eq!(config.text.vocab_size, 49_408, "{name}");
        seen += 1;
    }
    assert!(seen >= 12, "{seen} model files in {folder}");
}

#[test]
fn absent_fields_take_open_clips_defaults() {
    let text = r#"{"embed_dim": 512, "vision_cfg": {}, "text_cfg": {}}"#;
    let config = ModelConfig::from_json(text, "model.json").unwrap();
    assert_eq!(
        config.vision,
        VisionConfig::ViT {
            layers: 12,
            width: 768,
            head_width: 64,
            mlp_ratio: 4.0,
            patch_size: 16,
            image_size: 224,
            patch_dropout: 0.0,
        }
    );
    assert_eq!(config.text.width, 512);
    assert!((config.init_logit_scale - 2.659_26).abs() < 1e-5);
    assert!(!config.quick_gelu);
}

#[test]
fn fields_at_open_clips_defaults_are_accepted() {
    let text = r#"{"embed_dim": 512, "custom_text": false, "init_logit_bias": null,
        "vision_cfg": {"ls_init_value": null, "patch_dropout": 0.0, "pool_type": "tok",
            "attentional_pool": false, "attn_pooler_heads": 8, "timm_model_name": null,
            "act_kwargs": {}, "image_size": [224, 224]},
        "text_cfg": {"pool_type": "argmax", "pad_id": 0, "hf_model_name": null}}"#;
    let config = ModelConfig::from_json(text, "model.json").unwrap();
    assert_eq!(config.vision.image_size(), 224);
}

/// The fields of open_clip 3.3.0's `CLIPVisionCfg` and `CLIPTextCfg` with their first values, but
/// for objects that are written out where open_clip has null.
#[test]
fn every_field_of_open_clips_towers_is_accepted_at_what_it_does_here() {
    let text = r#"{"embed_dim": 512, "quick_gelu": true, "custom_text": true,
        "nonscalar_logit_scale": false, "multimodal_cfg": null,
        "vision_cfg": {"layers": 12, "width": 768, "head_width": 64, "mlp_ratio": 4.0,
            "patch_size": 16, "image_size": 224, "ls_init_value": null, "patch_dropout": 0.0,
            "attentional_pool": false, "attn_pooler_queries": 256, "attn_pooler_heads": 8,
            "no_ln_pre": false, "pos_embed_type": "learnable", "final_ln_after_pool": false,
            "pool_type": "tok", "output_tokens": false, "act_kwargs": {},
            "norm_kwargs": {"eps": 1e-5}, "block_type": "default", "qk_norm": false,
            "scaled_cosine_attn": false, "scale_heads": false, "scale_attn_inner": false,
            "scale_attn": false, "scale_fc": false, "timm_model_name": null,
            "timm_model_pretrained": false, "timm_pool": "avg", "timm_proj": "linear",
            "timm_proj_bias": false, "timm_drop": 0.0, "timm_drop_path": null},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "hf_tokenizer_name": null,
            "tokenizer_mode": null, "tokenizer_kwargs": {}, "width": 512, "heads": 8,
            "layers": 12, "mlp_ratio": 4.0, "ls_init_value": null, "embed_cls": false,
            "pad_id": 0, "eos_id": 2, "no_causal_mask": false, "final_ln_after_pool": false,
            "pool_type": "argmax", "proj_bias": false, "proj_type": "linear",
            "output_tokens": false, "act_kwargs": null, "norm_kwargs": {}, "qk_norm": false,
            "block_type": "default", "scaled_cosine_attn": false, "scale_heads": false,
            "scale_attn_inner": false, "scale_attn": false, "scale_fc": false,
            "hf_model_name": null, "hf_model_pretrained": true, "hf_proj_type": "mlp",
            "hf_pooler_type": "mean_pooler"}}"#;
    assert!(
        ModelConfig::from_json(text, "model.json")
            .unwrap()
            .quick_gelu
    );
    let other = text
        .replace("1e-5", "1e-6")
        .replace("\"default\"", "\"custom\"")
        .replace("\"scale_fc\": false", "\"scale_fc\": true");
    let found = faults(&other);
    assert_eq!(found.len(), 5, "{found:#?}");
    let remedy = "is not supported; set it to {\"eps\": 1e-5} or remove it";
    assert!(
        found.iter().any(|fault| fault.ends_with(remedy)),
        "{found:#?}"
    );
}

#[test]
fn all_faults_are_reported_at_once_with_path_and_remedy() {
    let found = faults(
        r#"{"embed_dim": 0, "init_logit_bias": "low", "widht": 3,
        "vision_cfg": {"patch_dropout": 1.0, "width": 100, "patch_size": 15,
            "timm_model_name": "resnet50", "pool_type": "avg"},
        "text_cfg": {"heads": 7, "hf_model_name": "roberta-base", "layers": "two"}}"#,
    );
    for part in [
        "embed_dim: 0 is not a whole number",
        "init_logit_bias: \"low\" is not a number",
        "widht: is not a field of open_clip's that twinspan knows",
        "vision_cfg.patch_dropout: 1 is not a share from 0 to below 1",
        "vision_cfg.head_width: 64 does not divide width 100",
        "vision_cfg.image_size: 224 is not divisible by patch_size 15",
        "vision_cfg.timm_model_name: \"resnet50\" is not supported: image towers from timm",
        "vision_cfg.pool_type: \"avg\" changes the mathematics",
        "text_cfg.heads: 7 does not divide width 512",
        "text_cfg.hf_model_name: \"roberta-base\" is not supported",
        "text_cfg.layers: \"two\" is not a whole number",
    ] {
        assert!(
            found.iter().any(|fault| fault.starts_with(part)),
            "{part}: {found:#?}"
        );
    }
    assert_eq!(found.len(), 11, "{found:#?}");
}

#[test]
fn a_resnet_needs_four_stages_and_a_side_that_it_can_halve_five_times() {
    let found = faults(
        r#"{"embed_dim": 8, "text_cfg": {},
            "vision_cfg": {"layers": [1, 1, 1], "width": 15, "image_size": 72}}"#,
    );
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found[0].starts_with("vision_cfg.layers: [1,1,1] must hold 4"));
}

#[test]
fn a_file_that_is_not_json_is_named() {
    let error = ModelConfig::from_json("layers: 3", "a/model.yaml").unwrap_err();
    assert!(
        error.to_string().starts_with("a/model.yaml: not JSON"),
        "{error}"
    );
    let error = ModelConfig::from_json("[]", "a/model.json").unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the file: must be a JSON object"),
        "{error}"
    );
}

#[test]
fn the_config_of_a_checkpoint_is_read_too_and_its_pictures_must_fit() {
    let text = r#"{"model_cfg": {"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}},
        "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "mode": "RGB"}}"#;
    let config = ModelConfig::from_json(text, "open_clip_config.json").unwrap();
    assert_eq!(config.source["embed_dim"], 8);
    let found = faults(
        r#"{"model_cfg": {"embed_dim": 8, "vision_cfg": {"patch_size": 0}, "text_cfg": {}},
            "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}"#,
    );
    assert!(
        found[0].starts_with("preprocess_cfg.mean: [0.5,0.5,0.5] changes"),
        "{found:#?}"
    );
    assert!(
        found[1].starts_with("model_cfg.vision_cfg.patch_size: 0"),
        "{found:#?}"
    );
}
