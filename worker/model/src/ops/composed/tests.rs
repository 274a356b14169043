//! On the CPU's backend the compositions give the kernels' numbers, which are checked by themselves.
#![allow(clippy::unwrap_used, reason = "tests")]

use burn::backend::Flex;
use burn_flex::FlexTensor;

use crate::ops::activation::{Activation, ActivationBackward, Kind};
use crate::ops::attention::{Attention, AttentionBackward};
use crate::ops::avg_pool::{AvgPool, AvgPoolBackward, Pool};
use crate::ops::batch_norm::{BatchNorm, BatchNormBackward, Saved};
use crate::ops::glue::{Values, tensor};
use crate::ops::im2col::{Im2col, Im2colBackward, Window};
use crate::ops::l2_normalize::{L2Normalize, L2NormalizeBackward};
use crate::ops::layer_norm::{LayerNorm, LayerNormBackward};
use crate::ops::linear::{Linear, LinearBackward};
use crate::ops::tests::harness::numbers;

fn random<const D: usize>(shape: [usize; D], seed: u64) -> FlexTensor {
    tensor(numbers(shape.iter().product(), seed), shape)
}

#[track_caller]
fn same(composed: FlexTensor, kernel: FlexTensor) {
    let [composed, kernel] = [composed, kernel].map(Values::of);
    assert_eq!(composed.shape(), kernel.shape());
    for (i, (c, k)) in composed.iter().zip(kernel.iter()).enumerate() {
        let error = (c - k).abs();
        assert!(error <= 2e-5 * (1.0 + k.abs()), "[{i}]: {c} and not {k}");
    }
}

#[test]
fn linear_layers() {
    let [x, w, g] = [random([7, 12], 1), random([5, 12], 2), random([7, 5], 3)];
    let b = random([5], 4);
    let biased = super::linear::<Flex>(x.clone(), w.clone(), Some(b.clone()));
    same(biased, Flex::fused_linear_bias(x.clone(), w.clone(), b));
    let plain = super::linear::<Flex>(x.clone(), w.clone(), None);
    same(plain, Flex::fused_linear(x.clone(), w.clone()));
    same(
        super::input_gradient::<Flex>(&g, &w),
        Flex::linear_input_gradient(&g, &w),
    );
    same(
        super::weight_gradient::<Flex>(&g, &x),
        Flex::linear_weight_gradient(&g, &x),
    );
    same(
        super::bias_gradient::<Flex>(g.clone()),
        Flex::linear_bias_gradient(g),
    );
}

#[test]
fn activations() {
    let [x, g] = [random([6, 40], 1), random([6, 40], 2)];
    for kind in [Kind::Gelu, Kind::QuickGelu] {
        same(
            super::activation::<Flex>(x.clone(), kind),
            Flex::fused_activation(x.clone(), kind),
        );
        same(
            super::activation_backward::<Flex>(x.clone(), g.clone(), kind),
            Flex::activation_backward(x.clone(), g.clone(), kind),
        );
    }
}

#[test]
fn attention_plain_and_causal() {
    let (qkv, g) = (random([3, 9, 48], 1), random([3, 9, 16], 2));
    for causal in [false, true] {
        same(
            super::attention::<Flex>(qkv.clone(), 4, causal),
            Flex::fused_attention(qkv.clone(), 4, causal),
        );
        same(
            super::attention_backward::<Flex>(qkv.clone(), g.clone(), 4, causal),
            Flex::attention_backward(qkv.clone(), g.clone(), 4, causal),
        );
    }
}

#[test]
fn layer_norm() {
    let [x, g] = [random([11, 24], 1), random([11, 24], 2)];
    let [gamma, beta] = [random([24], 3), random([24], 4)];
    same(
        super::layer_norm::<Flex>(x.clone(), gamma.clone(), beta.clone(), 1e-5),
        Flex::fused_layer_norm(x.clone(), gamma.clone(), beta, 1e-5),
    );
    let composed = super::layer_norm_backward::<Flex>(x.clone(), gamma.clone(), g.clone(), 1e-5);
    let kernel = Flex::layer_norm_backward(x, gamma, g, 1e-5);
    composed
        .into_iter()
        .zip(kernel)
        .for_each(|(c, k)| same(c, k));
}

#[test]
fn l2_normalize_also_of_a_row_of_zeros() {
    let mut values = numbers(5 * 8, 1);
    values[16..24].fill(0.0);
    let (x, g) = (tensor(values, [5, 8]), random([5, 8], 2));
    same(
        super::l2_normalize::<Flex>(x.clone(), 1e-12),
        Flex::fused_l2_normalize(x.clone()),
    );
    same(
        super::l2_normalize_backward::<Flex>(x.clone(), g.clone(), 1e-12),
        Flex::l2_normalize_backward(x, g),
    );
}

#[test]
fn batch_norm_with_and_without_relu() {
    let [x, grad] = [random([50, 6], 1), random([50, 6], 2)];
    let [gamma, beta] = [random([6], 3), random([6], 4)];
    for relu in [false, true] {
        let composed =
            super::batch_norm::<Flex>(x.clone(), gamma.clone(), beta.clone(), 1e-5, relu);
        let kernel = Flex::fused_batch_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5, relu);
        let saved = Saved {
            x: x.clone(),
            gamma: gamma.clone(),
            beta: beta.clone(),
            mean: kernel.1.clone(),
            variance: kernel.2.clone(),
            eps: 1e-5,
            relu,
        };
        same(composed.0, kernel.0);
        same(composed.1, kernel.1);
        same(composed.2, kernel.2);
        let composed = super::batch_norm_backward::<Flex>(saved.clone(), grad.clone());
        let kernel = Flex::batch_norm_backward(saved, grad.clone());
        composed
            .into_iter()
            .zip(kernel)
            .for_each(|(c, k)| same(c, k));
    }
}

#[test]
fn patches_of_strides_and_paddings() {
    for (kernel, stride, padding) in [(4, 4, 0), (3, 1, 1), (3, 2, 1), (2, 3, 0)] {
        let window = Window {
            height: 9,
            width: 8,
            channels: 3,
            kernel,
            stride,
            padding,
        };
        let x = random([2, 9, 8, 3], 1);
        let out = Flex::fused_im2col(x.clone(), window);
        let shape: [usize; 2] = out.layout().shape().dims();
        same(super::im2col::<Flex>(x, window), out);
        let grad = random(shape, 2);
        same(
            super::im2col_backward::<Flex>(grad.clone(), window),
            Flex::im2col_backward(grad, window),
        );
    }
}

#[test]
fn pooling_of_pictures_with_and_without_a_rest() {
    for (height, width) in [(6, 4), (7, 5)] {
        let pool = Pool {
            height,
            width,
            channels: 3,
            k: 2,
        };
        let x = random([2, height, width, 3], 1);
        let grad = random([2, 3, 2, 3], 2);
        same(
            super::avg_pool::<Flex>(x.clone(), pool),
            Flex::fused_avg_pool(x, pool),
        );
        same(
            super::avg_pool_backward::<Flex>(grad.clone(), pool),
            Flex::avg_pool_backward(grad, pool),
        );
    }
}

#[test]
fn long_columns_are_summed_whole() {
    let grad = random([70_000, 3], 1);
    same(
        super::bias_gradient::<Flex>(grad.clone()),
        Flex::linear_bias_gradient(grad),
    );
}
