use std::ops::Range;
use std::slice;

use super::super::config::{ModelConfig, TextConfig, VisionConfig};
use super::super::finite::{assert_sampled_gradients, close_slope, slope};
use super::super::loss::{contrastive_loss, normalise};
use super::super::params::Params;
use super::super::shapes::random_params;
use super::super::tensor::Tensor;
use super::{forward, loss_and_gradients, samples, stack};
use crate::random::Rng;

struct Batch {
    pixels: Vec<f64>,
    tokens: Vec<Vec<u32>>,
}

fn text_config() -> TextConfig {
    TextConfig {
        context_length: 7,
        vocab_size: 12,
        width: 8,
        heads: 2,
        layers: 2,
    }
}

fn vit_config() -> ModelConfig {
    ModelConfig {
        embed_dim: 6,
        image_size: 8,
        vision: VisionConfig::Vit {
            layers: 2,
            width: 12,
            head_width: 4,
            patch_size: 4,
            mlp_ratio: 2.5,
        },
        text: text_config(),
        quick_gelu: false,
    }
}

fn resnet_config() -> ModelConfig {
    ModelConfig {
        vision: VisionConfig::ResNet {
            layers: [2, 1, 1, 1],
            width: 4,
            head_width: 64,
        },
        image_size: 32,
        ..vit_config()
    }
}

/// N pictures of noise and texts of 3 to 7 tokens, padded with 0 to 7, in which
/// 11 is the end of text.
fn batch(config: &ModelConfig, n: usize, rng: &mut Rng) -> Batch {
    let pixels = (0..n * 3 * config.image_size.pow(2))
        .map(|_| rng.normal())
        .collect();
    let tokens = (0..n)
        .map(|_| {
            let words = 1 + rng.below(5);
            let mut text: Vec<u32> = vec![10];
            text.extend((0..words).map(|_| 1 + rng.below(9) as u32));
            text.push(11);
            text.resize(7, 0);
            text
        })
        .collect();
    Batch { pixels, tokens }
}

fn loss(config: &ModelConfig, params: &Params, batch: &Batch, groups: &[Range<usize>]) -> f64 {
    let trace = forward(config, params, &batch.pixels, &batch.tokens, groups);
    let (u, v) = trace.embeddings(config.embed_dim);
    let s = params.get("logit_scale").data[0].exp();
    contrastive_loss(&normalise(&u), &normalise(&v), s).loss
}

#[test]
fn a_whole_vit_clips_gradient_agrees_with_finite_differences() {
    let mut rng = Rng::new(20);
    for quick_gelu in [false, true] {
        let config = ModelConfig {
            quick_gelu,
            ..vit_config()
        };
        let params = random_params(&config, &mut rng);
        let batch = batch(&config, 5, &mut rng);
        let out = loss_and_gradients(&config, &params, &batch.pixels, &batch.tokens, &[]);
        assert_eq!(out.loss, loss(&config, &params, &batch, &[]));
        assert!(out.batch_stats.is_empty());
        let f = |params: &Params| loss(&config, params, &batch, &[]);
        let compared = assert_sampled_gradients(
            &params,
            &out.gradients,
            3,
            1e-7,
            |f: &dyn Fn(f64) -> f64| slope(f),
            f,
        );
        assert!(compared >= 200, "{compared} values");
    }
}

#[test]
fn a_whole_resnet_clips_gradient_agrees_with_finite_differences() {
    let mut rng = Rng::new(21);
    let config = resnet_config();
    let params = random_params(&config, &mut rng);
    let batch = batch(&config, 8, &mut rng);
    let groups = [0..3, 3..8];
    let out = loss_and_gradients(&config, &params, &batch.pixels, &batch.tokens, &groups);
    assert_eq!(out.batch_stats.len(), 2);
    // Three in the stem, three in each of five blocks, four shortcuts.
    assert_eq!(out.batch_stats[0].len(), 3 + 15 + 4);
    let f = |params: &Params| loss(&config, params, &batch, &groups);
    // The points must be so close that no ReLU of note changes its side.
    let compared = assert_sampled_gradients(
        &params,
        &out.gradients,
        1,
        1e-6,
        |f: &dyn Fn(f64) -> f64| close_slope(f),
        f,
    );
    assert!(compared >= 120, "{compared} values");
}

#[test]
fn what_stands_after_the_end_of_text_changes_nothing() {
    let mut rng = Rng::new(22);
    let config = vit_config();
    let params = random_params(&config, &mut rng);
    let Batch { pixels, tokens } = batch(&config, 4, &mut rng);
    let full = loss_and_gradients(&config, &params, &pixels, &tokens, &[]);
    let cut: Vec<Vec<u32>> = tokens
        .iter()
        .map(|text| text.iter().copied().filter(|&token| token > 0).collect())
        .collect();
    assert_ne!(cut, tokens);
    let short = loss_and_gradients(&config, &params, &pixels, &cut, &[]);
    assert!((full.loss - short.loss).abs() < 1e-14);
    for (name, gradient) in full.gradients.iter() {
        let other = short.gradients.get(name);
        for (a, b) in gradient.data.iter().zip(&other.data) {
            assert!((a - b).abs() < 1e-14, "{name}: {a} {b}");
        }
    }
}

#[test]
fn a_group_of_batch_norm_sees_its_own_samples_alone() {
    let mut rng = Rng::new(23);
    let config = resnet_config();
    let params = random_params(&config, &mut rng);
    let batch = batch(&config, 4, &mut rng);
    let both = forward(
        &config,
        &params,
        &batch.pixels,
        &batch.tokens,
        &[0..2, 2..4],
    );
    let each = config.image_size.pow(2) * 3;
    let one = forward(
        &config,
        &params,
        &batch.pixels[2 * each..],
        &batch.tokens[2..],
        slice::from_ref(&(0..2)),
    );
    let (both, _) = both.embeddings(config.embed_dim);
    let (one, _) = one.embeddings(config.embed_dim);
    assert_eq!(samples(&both, 2..4), one);
    let whole = slice::from_ref(&(0..4));
    let joint = forward(&config, &params, &batch.pixels, &batch.tokens, whole);
    let (joint, _) = joint.embeddings(config.embed_dim);
    assert_ne!(samples(&joint, 2..4), one);
}

#[test]
fn equal_pairs_of_embeddings_stack_in_order() {
    let [a, b] = [1.0, 2.0].map(|v| Tensor::new(&[1, 2], vec![v; 2]));
    assert_eq!(stack(2, [&a, &b].into_iter()).data, [1.0, 1.0, 2.0, 2.0]);
}
