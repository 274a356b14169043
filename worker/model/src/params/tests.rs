use super::*;

fn model(name: &str) -> ModelConfig {
    crate::towers::testing::model_file(name)
}

fn table(name: &str) -> ParamTable {
    ParamTable::new(&model(name))
}

/// Counted by open_clip 3.3.0: `sum(p.numel() for p in model.parameters())`.
#[test]
fn parameter_counts_are_open_clips() {
    for (name, count) in [
        ("ViT-B-32", 151_277_313),
        ("ViT-B-16", 149_620_737),
        ("ViT-L-14", 427_616_513),
        ("ViT-H-14", 986_109_441),
        ("RN50", 102_007_137),
        ("RN101", 119_688_033),
        ("RN50x4", 178_300_601),
        ("RN50x16", 290_979_217),
        ("RN50x64", 623_258_305),
    ] {
        assert_eq!(table(name).total(), count, "{name}");
    }
}

#[test]
fn names_and_shapes_are_open_clips() {
    let vit = table("ViT-B-32");
    for (name, shape) in [
        ("logit_scale", &[][..]),
        ("token_embedding.weight", &[49_408, 512]),
        ("positional_embedding", &[77, 512]),
        ("text_projection", &[512, 512]),
        ("transformer.resblocks.11.attn.in_proj_weight", &[1536, 512]),
        ("transformer.resblocks.0.mlp.c_proj.weight", &[512, 2048]),
        ("ln_final.bias", &[512]),
        ("visual.class_embedding", &[768]),
        ("visual.positional_embedding", &[50, 768]),
        ("visual.conv1.weight", &[768, 3, 32, 32]),
        ("visual.transformer.resblocks.11.ln_2.weight", &[768]),
        ("visual.proj", &[768, 512]),
    ] {
        assert_eq!(vit.find(name).expect(name).shape, shape, "{name}");
    }
    let resnet = table("RN50");
    for (name, shape) in [
        ("visual.conv1.weight", &[32, 3, 3, 3][..]),
        ("visual.layer1.0.conv1.weight", &[64, 64, 1, 1]),
        ("visual.layer1.0.downsample.0.weight", &[256, 64, 1, 1]),
        ("visual.layer4.2.conv2.weight", &[512, 512, 3, 3]),
        ("visual.layer4.0.downsample.1.bias", &[2048]),
        ("visual.attnpool.positional_embedding", &[50, 2048]),
        ("visual.attnpool.c_proj.weight", &[1024, 2048]),
        ("visual.attnpool.k_proj.bias", &[2048]),
    ] {
        assert_eq!(resnet.find(name).expect(name).shape, shape, "{name}");
    }
    assert!(resnet.find("visual.layer1.1.downsample.0.weight").is_none());
    assert_eq!(BufferTable::new(&model("ViT-B-32")).total(), 0);
    let buffers = BufferTable::new(&model("RN50"));
    assert_eq!(buffers.norms().len(), 3 + 16 * 3 + 4);
    assert!(buffers.norms().iter().all(|norm| {
        resnet
            .find(&format!("{}.weight", norm.name))
            .is_some_and(|spec| spec.len() == norm.channels)
    }));
}

#[test]
fn the_towers_stand_together_and_cover_the_buffer() {
    for name in ["tiny-vit", "quickstart"] {
        let table = table(name);
        let shared = table.range(Tower::Shared);
        let (text, image) = (table.range(Tower::Text), table.range(Tower::Image));
        assert_eq!((shared, table.logit_scale()), (0..1, 0));
        assert_eq!((text.start, text.end), (1, image.start));
        assert_eq!(image.end, table.total());
        let mut end = 0;
        for spec in table.specs() {
            assert_eq!(spec.offset, end, "{}", spec.name);
            assert_eq!(spec.name.starts_with("visual."), spec.tower == Tower::Image);
            end = spec.range().end;
        }
    }
}

#[test]
fn decay_spares_vectors_norms_biases_and_the_logit_scale() {
    let table = table("quickstart");
    let decays = |name: &str| table.find(name).expect(name).decay;
    assert!(decays("token_embedding.weight") && decays("visual.conv1.weight"));
    assert!(decays("visual.attnpool.positional_embedding") && decays("text_projection"));
    assert!(!decays("logit_scale") && !decays("ln_final.weight"));
    assert!(!decays("visual.bn1.weight") && !decays("visual.layer1.0.downsample.1.weight"));
    assert!(!decays("transformer.resblocks.0.attn.in_proj_bias"));
}

/// Mean, standard deviation and largest magnitude.
fn moments(values: &[f32]) -> [f64; 3] {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let square = |value: &f32| (f64::from(*value) - mean).powi(2);
    let variance = values.iter().map(square).sum::<f64>() / count;
    let largest = values
        .iter()
        .fold(0.0_f64, |most, &value| most.max(f64::from(value.abs())));
    [mean, variance.sqrt(), largest]
}

#[test]
fn first_values_follow_open_clips_rules() {
    let (resnet, vit) = (table("quickstart"), table("tiny-vit"));
    let (resnet_flat, vit_flat) = (resnet.init(7), vit.init(7));
    let in_resnet = |name: &str| moments(&resnet_flat[resnet.find(name).expect(name).range()]);
    let in_vit = |name: &str| moments(&vit_flat[vit.find(name).expect(name).range()]);
    let close = |[mean, std, _]: [f64; 3], expected: f64| {
        assert!(mean.abs() < 0.05 * expected, "mean {mean}");
        assert!((std / expected - 1.0).abs() < 0.04, "{std}, not {expected}");
    };
    close(in_resnet("token_embedding.weight"), 0.02);
    close(in_resnet("positional_embedding"), 0.01);
    close(
        in_resnet("transformer.resblocks.0.attn.in_proj_weight"),
        128_f64.powf(-0.5),
    );
    close(
        in_resnet("transformer.resblocks.0.mlp.c_fc.weight"),
        256_f64.powf(-0.5),
    );
    close(
        in_vit("transformer.resblocks.1.mlp.c_proj.weight"),
        256_f64.powf(-0.5),
    );
    close(in_resnet("text_projection"), 128_f64.powf(-0.5));
    close(
        in_resnet("visual.attnpool.q_proj.weight"),
        512_f64.powf(-0.5),
    );
    close(in_vit("visual.proj"), 0.125);
    // A uniform distribution's standard deviation is its bound over the root of 3.
    let bound = (6.0_f64 / 256.0).sqrt();
    let in_proj = in_vit("visual.transformer.resblocks.0.attn.in_proj_weight");
    close(in_proj, bound / 3_f64.sqrt());
    assert!(in_proj[2] <= bound && in_proj[2] > 0.99 * bound);
    close(in_vit("visual.conv1.weight"), (768.0_f64 * 3.0).powf(-0.5));
    assert_eq!(in_resnet("visual.layer3.0.bn3.weight"), [0.0; 3]);
    assert_eq!(in_resnet("visual.bn3.weight"), [1.0, 0.0, 1.0]);
    assert_eq!(
        in_vit("visual.transformer.resblocks.0.attn.out_proj.bias"),
        [0.0; 3]
    );
    assert!(in_vit("visual.transformer.resblocks.0.mlp.c_fc.bias")[1] > 0.0);
    assert!((resnet_flat[resnet.logit_scale()] - 2.659_26).abs() < 1e-5);
}

#[test]
fn random_numbers_depend_on_the_seed_and_the_name_alone() {
    let mut values = [[0.0_f32; 5]; 4];
    Init::Normal(1.0).fill(1, "a", &mut values[0]);
    Init::Normal(1.0).fill(1, "a", &mut values[1]);
    Init::Normal(1.0).fill(1, "b", &mut values[2]);
    Init::Normal(1.0).fill(2, "a", &mut values[3]);
    assert_eq!(values[0], values[1]);
    assert_ne!(values[0], values[2]);
    assert_ne!(values[0], values[3]);
}
