//! The Vision Transformer.

use burn::tensor::Tensor;

use super::transformer::{Transformer, layer_norm, row_numbers};
use super::weights::Scope;
use crate::config::{ModelConfig, VisionConfig};
use crate::ops;

/// Normalised pictures `[b, side, side, 3]` to features `[b, e]`, not yet of unit length.
pub(super) fn forward(config: &ModelConfig, w: &Scope<'_>, x_bhwc: Tensor<4>) -> Tensor<2> {
    let VisionConfig::ViT {
        layers,
        width,
        head_width,
        patch_size,
        ..
    } = config.vision
    else {
        unreachable!("the caller dispatches on the tower");
    };
    let batch = x_bhwc.dims()[0];
    let patches_nk = ops::im2col(x_bhwc, patch_size, patch_size, 0);
    let tokens = patches_nk.dims()[0] / batch + 1;
    let patches_nw = ops::linear(patches_nk, w.matrix("conv1.weight"), None);
    let patches_btw = patches_nw.reshape([batch, tokens - 1, width]);
    let class_btw = w.vector("class_embedding").reshape([1, 1, width]);
    let x_btw = Tensor::cat(vec![class_btw.repeat_dim(0, batch), patches_btw], 1)
        + w.matrix("positional_embedding").unsqueeze();

    let read_b = row_numbers((0..batch).map(|b| b * tokens), &x_btw);
    let x_nw = layer_norm(w, "ln_pre", x_btw.reshape([batch * tokens, width]));
    let blocks = Transformer {
        layers,
        heads: width / head_width,
        causal: false,
        quick_gelu: config.quick_gelu,
    };
    let x_bw = blocks.forward(&w.scope("transformer"), x_nw, batch, &read_b);
    let x_bw = layer_norm(w, "ln_post", x_bw);
    ops::linear(x_bw, w.matrix("proj").transpose(), None)
}
