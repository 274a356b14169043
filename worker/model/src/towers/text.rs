//! The causal text Transformer.

use burn::tensor::Tensor;

use super::transformer::{Transformer, layer_norm, row_numbers};
use super::{Tape, Weights};
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
    /// What the backward pass needs of the blocks, where it computes them again.
    pub tape: Option<Tape>,
}

impl TextForward {
    /// The ids that a text's embedding depends on; none for the padding behind its end.
    pub(super) fn read_ids(&self) -> Vec<Option<u32>> {
        let [texts, _] = self.embeddings.dims();
        let rows = self.ids.chunks_exact(self.ids.len() / texts.max(1));
        rows.flat_map(|ids| {
            let end = end(ids);
            let read = move |(place, &id)| (place <= end).then_some(id);
            ids.iter().enumerate().map(read)
        })
        .collect()
    }
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
    let (x_bw, tape) = blocks.forward(&w.scope("transformer"), x_nw, batch, &read_b);
    let x_bw = layer_norm(&root, "ln_final", x_bw);
    let features_be = ops::linear(x_bw, root.matrix("text_projection").transpose(), None);
    TextForward {
        embeddings: ops::l2_normalize(features_be),
        rows: rows_nw,
        ids: ids.to_vec(),
        tape,
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
