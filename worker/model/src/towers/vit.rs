//! The Vision Transformer.

use burn::tensor::Tensor;

use super::patch_dropout::{PatchDraws, kept};
use super::recompute::Tape;
use super::transformer::{Transformer, layer_norm, row_numbers};
use super::weights::Scope;
use crate::config::{ModelConfig, VisionConfig};
use crate::ops;

/// Normalised pictures `[b, side, side, 3]` to features `[b, e]`, not yet of unit length. With
/// `draws` and patch dropout each picture is read by the patches that it keeps.
pub(super) fn forward(
    config: &ModelConfig,
    w: &Scope<'_>,
    x_bhwc: Tensor<4>,
    draws: Option<PatchDraws<'_>>,
) -> (Tensor<2>, Option<Tape>) {
    let VisionConfig::ViT {
        layers,
        width,
        head_width,
        patch_size,
        patch_dropout,
        ..
    } = config.vision
    else {
        unreachable!("the caller dispatches on the tower");
    };
    let batch = x_bhwc.dims()[0];
    let mut patches_nk = w.activations(ops::im2col(x_bhwc, patch_size, patch_size, 0));
    let mut patches = patches_nk.dims()[0] / batch;
    let position_tw = w.matrix("positional_embedding");
    let class_position_1w = position_tw.clone().narrow(0, 0, 1);
    let mut position_btw: Tensor<3> = position_tw.clone().narrow(0, 1, patches).unsqueeze();
    if let Some(draws) = draws.filter(|_| patch_dropout > 0.0) {
        assert_eq!(draws.pictures.len(), batch, "one draw for each picture");
        let all = patches;
        patches = kept(all, patch_dropout);
        let kept = draws.draw(all, patches);
        let rows = kept
            .iter()
            .enumerate()
            .map(|(n, patch)| n / patches * all + patch);
        patches_nk = patches_nk.clone().select(0, row_numbers(rows, &patches_nk));
        let places = row_numbers(kept.iter().map(|patch| patch + 1), &position_tw);
        position_btw = position_tw
            .select(0, places)
            .reshape([batch, patches, width]);
    }
    let tokens = patches + 1;
    let patches_nw = ops::linear(patches_nk, w.matrix("conv1.weight"), None);
    let patches_btw = patches_nw.reshape([batch, patches, width]) + position_btw;
    let class_1w = w.vector("class_embedding").reshape([1, width]) + class_position_1w;
    let class_btw = class_1w.reshape([1, 1, width]).repeat_dim(0, batch);
    let x_btw = Tensor::cat(vec![class_btw, patches_btw], 1);

    let read_b = row_numbers((0..batch).map(|b| b * tokens), &x_btw);
    let x_nw = layer_norm(w, "ln_pre", x_btw.reshape([batch * tokens, width]));
    let blocks = Transformer {
        layers,
        heads: width / head_width,
        causal: false,
        quick_gelu: config.quick_gelu,
    };
    let (x_bw, tape) = blocks.forward(&w.scope("transformer"), x_nw, batch, &read_b);
    let x_bw = layer_norm(w, "ln_post", x_bw);
    (ops::linear(x_bw, w.matrix("proj").transpose(), None), tape)
}
