//! The causal text Transformer.

use burn::tensor::Tensor;

use super::Weights;
use super::transformer::{Transformer, layer_norm, row_numbers};
use crate::config::ModelConfig;
use crate::ops;

/// What the text tower makes of some texts.
pub struct TextForward {
    /// Unit rows `[b, e]`.
    pub embeddings: Tensor<2>,
    /// The token embedding's rows of these ids, `[b * t, w]`: a leaf, tracked when the weights are.
    pub rows: Tensor<2>,
    /// The ids, `[b, t]`.
    pub ids: Vec<u32>,
}

pub(super) fn forward(
    config: &ModelConfig,
    w: &Weights<'_>,
    ids: &[u32],
    length: usize,
) -> TextForward {
    let text = &config.text;
    assert!(
        (1..=text.context_length).contains(&length) && ids.len().is_multiple_of(length),
        "{} ids in rows of {length} with a context of {}",
        ids.len(),
        text.context_length
    );
    let batch = ids.len() / length;
    let root = w.root();
    let rows_nw = w.token_rows(ids);
    let position_tw = root.matrix("positional_embedding").narrow(0, 0, length);
    let x_btw = rows_nw.clone().reshape([batch, length, text.width]) + position_tw.unsqueeze();

    let ends = ids.chunks_exact(length).enumerate();
    let read_b = row_numbers(ends.map(|(b, ids)| b * length + end(ids)), &rows_nw);
    let blocks = Transformer {
        layers: text.layers,
        heads: text.heads,
        causal: true,
        quick_gelu: config.quick_gelu,
    };
    let x_nw = x_btw.reshape([batch * length, text.width]);
    let x_bw = blocks.forward(&w.scope("transformer"), x_nw, batch, &read_b);
    let x_bw = layer_norm(&root, "ln_final", x_bw);
    let features_be = ops::linear(x_bw, root.matrix("text_projection").transpose(), None);
    TextForward {
        embeddings: ops::l2_normalize(features_be),
        rows: rows_nw,
        ids: ids.to_vec(),
    }
}

/// Place of the end token, which has the largest id; the first one where there are several.
fn end(ids: &[u32]) -> usize {
    (1..ids.len()).fold(
        0,
        |best, place| {
            if ids[place] > ids[best] { place } else { best }
        },
    )
}
