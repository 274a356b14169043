//! The Vision Transformer image tower.

use super::block::{BlockOptions, BlockTrace, transformer, transformer_backward};
use super::config::{ModelConfig, VisionConfig};
use super::layers::named::{
    layer_norm_at, layer_norm_at_backward, project_at, project_at_backward,
};
use super::layers::{conv2d, conv2d_backward};
use super::params::Params;
use super::tensor::{Tensor, add_to};

/// What the backward of the tower needs.
pub struct VitTrace {
    /// `[n, 3, h, w]`.
    pixels: Tensor,
    /// Before `ln_pre`, `[n, t, w]`.
    tokens: Tensor,
    blocks: Vec<BlockTrace>,
    /// Token 0 after the blocks, `[n, w]`.
    class: Tensor,
    /// After `ln_post`, `[n, w]`.
    normed: Tensor,
    /// Before the L2 norm, `[n, e]`.
    pub embedding: Tensor,
}

struct Vit {
    layers: usize,
    patch: usize,
    options: BlockOptions,
}

fn vit(config: &ModelConfig) -> Vit {
    let VisionConfig::Vit {
        layers,
        width,
        head_width,
        patch_size,
        ..
    } = config.vision
    else {
        panic!("the image tower of this model is no ViT");
    };
    Vit {
        layers,
        patch: patch_size,
        options: BlockOptions {
            heads: width / head_width,
            causal: false,
            activation: config.activation(),
        },
    }
}

/// The tower on pixels `[n, 3, h, w]`.
#[must_use]
pub fn forward(config: &ModelConfig, params: &Params, pixels: Tensor) -> VitTrace {
    let own = vit(config);
    let patches = conv2d(&pixels, params.get("visual.conv1.weight"), own.patch, 0);
    let tokens = tokens_of(params, &patches);
    let x = layer_norm_at(params, "visual.ln_pre.", &tokens);
    let (x, blocks) = transformer(params, "visual.transformer", own.layers, own.options, x);
    let [n, t, w] = x.dims();
    let mut class = Tensor::zeros(&[n, w]);
    for i in 0..n {
        class.row_mut(i).copy_from_slice(x.row(i * t));
    }
    let normed = layer_norm_at(params, "visual.ln_post.", &class);
    let embedding = project_at(params, "visual.proj", &normed);
    VitTrace {
        pixels,
        tokens,
        blocks,
        class,
        normed,
        embedding,
    }
}

/// Adds the tower's gradients, from that of its embedding `[n, e]`.
pub fn backward(
    config: &ModelConfig,
    params: &Params,
    grads: &mut Params,
    trace: &VitTrace,
    d_embedding: &Tensor,
) {
    let own = vit(config);
    let d_normed = project_at_backward(params, grads, "visual.proj", &trace.normed, d_embedding);
    let d_class = layer_norm_at_backward(params, grads, "visual.ln_post.", &trace.class, &d_normed);
    let [n, t, _] = trace.tokens.dims();
    let mut d = Tensor::zeros(&trace.tokens.shape);
    for i in 0..n {
        d.row_mut(i * t).copy_from_slice(d_class.row(i));
    }
    let stem = "visual.transformer";
    let d = transformer_backward(params, grads, stem, own.options, &trace.blocks, d);
    let d_tokens = layer_norm_at_backward(params, grads, "visual.ln_pre.", &trace.tokens, &d);

    let side = trace.pixels.shape[2] / own.patch;
    let d_patches = tokens_backward(grads, &d_tokens, side);
    let weight = params.get("visual.conv1.weight");
    let grad = conv2d_backward(&trace.pixels, weight, own.patch, 0, &d_patches);
    grads.add("visual.conv1.weight", &grad.weight);
}

/// Patches `[n, w, g, g]` to tokens `[n, 1 + g², w]`: the class token, then the
/// patches row by row, all with their positions added.
fn tokens_of(params: &Params, patches: &Tensor) -> Tensor {
    let class = params.get("visual.class_embedding");
    let positions = params.get("visual.positional_embedding");
    let [n, w, side, _] = patches.dims();
    let (places, t) = (side * side, side * side + 1);
    let mut tokens = Tensor::zeros(&[n, t, w]);
    for i in 0..n {
        add_to(tokens.row_mut(i * t), &class.data);
        for place in 0..places {
            for c in 0..w {
                tokens.row_mut(i * t + 1 + place)[c] = patches.data[(i * w + c) * places + place];
            }
        }
        for token in 0..t {
            add_to(tokens.row_mut(i * t + token), positions.row(token));
        }
    }
    tokens
}

/// Adds the gradients of the class token and the positions, and returns that of
/// the patches.
fn tokens_backward(grads: &mut Params, d_tokens: &Tensor, side: usize) -> Tensor {
    let [n, t, w] = d_tokens.dims();
    let places = side * side;
    let mut d_patches = Tensor::zeros(&[n, w, side, side]);
    for i in 0..n {
        let class = grads.get_mut("visual.class_embedding");
        add_to(&mut class.data, d_tokens.row(i * t));
        for place in 0..places {
            for c in 0..w {
                d_patches.data[(i * w + c) * places + place] = d_tokens.row(i * t + 1 + place)[c];
            }
        }
        let positions = grads.get_mut("visual.positional_embedding");
        for token in 0..t {
            add_to(positions.row_mut(token), d_tokens.row(i * t + token));
        }
    }
    d_patches
}
