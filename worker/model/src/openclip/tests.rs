#![allow(clippy::unwrap_used, reason = "tests")]

use safetensors::tensor::SafeTensors;
use twinspan_types::{Rank, WorldSize};

use super::*;
use crate::towers::testing::{small_resnet, small_vit};

/// Distinct numbers.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|value| value as f32 * 0.5 - 3.0).collect()
}

/// What is in a file's bytes.
fn read(clip: &Clip, bytes: &[u8]) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
    let weights = read_model(clip, &parse_safetensors(bytes)?)?;
    assert_eq!(weights.resized, [""; 0]);
    Ok((weights.params, weights.buffers))
}

fn faults<T: std::fmt::Debug>(result: Result<T, WeightsError>) -> Vec<String> {
    match result {
        Err(WeightsError::OtherModel { faults }) => faults,
        other => panic!("expected another model, got {other:?}"),
    }
}

/// The same file with its keys changed; a key that becomes nothing is left out.
fn with_keys(bytes: &[u8], rename: impl Fn(&str) -> Option<String>) -> Vec<u8> {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let tensors = file
        .iter()
        .filter_map(|(key, tensor)| Some((rename(key)?, tensor)));
    safetensors::serialize(tensors, None).unwrap()
}

#[test]
fn a_model_file_round_trips() {
    for clip in [small_vit(), small_resnet()] {
        let flat = numbers(clip.params.total());
        let buffers = numbers(clip.buffers.total());
        let bytes = write_model(&clip, &flat, &buffers, 7);
        assert_eq!(read(&clip, &bytes).unwrap(), (flat, buffers));
    }
}

#[test]
fn a_model_file_has_open_clips_keys_and_shapes() {
    let clip = small_resnet();
    let bytes = write_model(&clip, &clip.params.init(1), &clip.buffers.init(), 7);
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let shape = |key: &str| file.tensor(key).unwrap().shape().to_vec();
    assert_eq!(shape("logit_scale"), [0_usize; 0]);
    assert_eq!(shape("visual.layer1.0.conv2.weight")[2..], [3, 3]);
    let count = file
        .tensor("visual.layer2.0.downsample.1.num_batches_tracked")
        .unwrap();
    assert_eq!(count.data(), 7_i64.to_le_bytes());
    assert_eq!(
        file.len(),
        clip.params.specs().len() + 3 * clip.buffers.norms().len()
    );
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
}

#[test]
fn prefixed_keys_are_accepted() {
    let clip = small_vit();
    let flat = numbers(clip.params.total());
    let plain = write_model(&clip, &flat, &[], 0);
    let custom_text = with_keys(&plain, |key| {
        let own = key.starts_with("visual.") || key == "logit_scale";
        Some(if own {
            key.to_owned()
        } else {
            format!("text.{key}")
        })
    });
    assert_eq!(read(&clip, &custom_text).unwrap().0, flat);
    let parallel = with_keys(&custom_text, |key| Some(format!("module._orig_mod.{key}")));
    assert_eq!(read(&clip, &parallel).unwrap().0, flat);
}

#[test]
fn all_tensors_that_do_not_fit_are_listed_at_once() {
    let (clip, other) = (small_vit(), small_resnet());
    let bytes = write_model(&clip, &clip.params.init(1), &[], 0);
    let bytes = with_keys(&bytes, |key| match key {
        "ln_final.bias" => None,
        "visual.proj" => Some("visual.head".to_owned()),
        "ln_final.weight" => Some("visual.ln_post.weight ".to_owned()),
        _ => Some(key.to_owned()),
    });
    let found = faults(read(&clip, &bytes));
    assert_eq!(
        found,
        [
            "ln_final.bias: missing, [16]",
            "ln_final.weight: missing, [16]",
            "visual.head: unexpected, [16, 8]",
            "visual.ln_post.weight : unexpected, [16]",
            "visual.proj: missing, [16, 8]",
        ]
    );
    let swapped = with_keys(&bytes, |key| match key {
        "visual.conv1.weight" => Some("positional_embedding".to_owned()),
        "positional_embedding" => Some("visual.conv1.weight".to_owned()),
        _ => Some(key.to_owned()),
    });
    let found = faults(read(&clip, &swapped));
    assert!(
        found.contains(&"positional_embedding: [16, 3, 4, 4], not [12, 16]".to_owned()),
        "{found:#?}"
    );
    assert!(faults(read(&other, &bytes)).len() > 50);
    let error = read(&clip, b"PK not safetensors").unwrap_err();
    assert!(
        matches!(error, WeightsError::NotSafetensors { .. }),
        "{error}"
    );
}

#[test]
fn moments_round_trip_through_any_number_of_parts() {
    let clip = small_resnet();
    let exp_avg = numbers(clip.params.total());
    let exp_avg_sq: Vec<f32> = exp_avg.iter().map(|value| value * value).collect();
    for world in [1, 2, 3, 4, 200].map(WorldSize) {
        let parts: Vec<Vec<u8>> = world
            .ranks()
            .map(|rank| write_optimizer_part(&clip, &exp_avg, &exp_avg_sq, rank, world))
            .collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let read = read_optimizer_parts(&clip, &parts).unwrap();
        assert_eq!(read, (exp_avg.clone(), exp_avg_sq.clone()), "{world} parts");
    }
}

#[test]
fn a_missing_or_doubled_part_is_an_error() {
    let clip = small_vit();
    let moments = numbers(clip.params.total());
    let part = |rank| write_optimizer_part(&clip, &moments, &moments, Rank(rank), WorldSize(2));
    let (first, second) = (part(0), part(1));
    let missing = faults(read_optimizer_parts(&clip, &[&first]));
    assert!(
        missing.iter().all(|fault| fault.contains(": missing")),
        "{missing:#?}"
    );
    let doubled = faults(read_optimizer_parts(&clip, &[&first, &second, &second]));
    assert!(
        doubled.iter().all(|fault| fault.contains("more than once")),
        "{doubled:#?}"
    );
    assert_eq!(missing.len(), doubled.len());
}

#[test]
fn the_config_beside_the_weights_is_read_back_as_the_same_model() {
    let clip = small_resnet();
    let written = open_clip_config(&clip.config);
    assert_eq!(written["preprocess_cfg"]["interpolation"], "bicubic");
    let config = ModelConfig::from_json(&written.to_string(), "open_clip_config.json").unwrap();
    assert_eq!(config, clip.config);
}

#[test]
fn weights_of_half_width_and_of_another_picture_size_and_context_fit() {
    let clip = small_vit();
    let flat: Vec<f32> = numbers(clip.params.total())
        .into_iter()
        .map(|value| value % 64.0)
        .collect();
    let plain = write_model(&clip, &flat, &[], 0);
    let file = SafeTensors::deserialize(&plain).unwrap();
    let halves = file.iter().map(|(key, tensor)| {
        let values = tensor.data().as_chunks::<4>().0.iter();
        let values =
            values.flat_map(|word| half::f16::from_f32(f32::from_le_bytes(*word)).to_le_bytes());
        let tensor = (
            Dtype::F16,
            tensor.shape().to_vec(),
            values.collect::<Vec<u8>>(),
        );
        (key.to_owned(), tensor)
    });
    let halves: Vec<_> = halves.collect();
    let views = halves.iter().map(|(key, (dtype, shape, bytes))| {
        let view = safetensors::tensor::TensorView::new(*dtype, shape.clone(), bytes);
        (key, view.unwrap())
    });
    let halves = safetensors::serialize(views, None).unwrap();
    assert_eq!(read(&clip, &halves).unwrap().0, flat);

    let mut source = clip.config.source.clone();
    source["vision_cfg"]["image_size"] = 16.into();
    source["text_cfg"]["context_length"] = 20.into();
    let larger = Clip::new(ModelConfig::from_json(&source.to_string(), "larger").unwrap());
    let weights = read_model(&larger, &parse_safetensors(&plain).unwrap()).unwrap();
    assert_eq!(
        weights.resized,
        [
            "positional_embedding: [12, 16] to [20, 16]",
            "visual.positional_embedding: [5, 16] to [17, 16]",
        ]
    );
    let kept = |clip: &Clip, params: &[f32], name: &str| {
        params[clip.params.find(name).unwrap().range()].to_vec()
    };
    let name = "visual.proj";
    assert_eq!(
        kept(&larger, &weights.params, name),
        kept(&clip, &flat, name)
    );
}

#[test]
fn weights_that_are_not_finite_are_refused_by_name() {
    let clip = small_vit();
    let mut flat = numbers(clip.params.total());
    flat[clip.params.find("visual.proj").unwrap().offset + 1] = f32::NAN;
    let bytes = write_model(&clip, &flat, &[], 0);
    let error = read(&clip, &bytes).unwrap_err().to_string();
    assert!(
        error.starts_with("visual.proj: holds values that are not finite"),
        "{error}"
    );
}
