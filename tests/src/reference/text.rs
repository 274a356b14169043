//! The causal text tower. Every text is worked by itself, so texts may have
//! different lengths, each up to the context length.

use super::block::{BlockOptions, BlockTrace, transformer, transformer_backward};
use super::config::ModelConfig;
use super::layers::named::{
    layer_norm_at, layer_norm_at_backward, project_at, project_at_backward,
};
use super::params::Params;
use super::tensor::{Tensor, add_to};

/// What the backward of one text needs.
pub struct TextTrace {
    tokens: Vec<u32>,
    blocks: Vec<BlockTrace>,
    /// After the blocks, `[1, t, w]`.
    hidden: Tensor,
    /// The row of the end of text after `ln_final`, `[1, w]`.
    pooled: Tensor,
    /// Before the L2 norm, `[1, e]`.
    pub embedding: Tensor,
}

fn options(config: &ModelConfig) -> BlockOptions {
    BlockOptions {
        heads: config.text.heads,
        causal: true,
        activation: config.activation(),
    }
}

/// Where the end of text stands: the first place of the largest token id.
#[must_use]
pub fn end_of_text(tokens: &[u32]) -> usize {
    let largest = tokens.iter().max().expect("a text has a token");
    tokens
        .iter()
        .position(|token| token == largest)
        .expect("the largest is among them")
}

/// The tower on one text.
#[must_use]
pub fn forward(config: &ModelConfig, params: &Params, tokens: &[u32]) -> TextTrace {
    let (t, width) = (tokens.len(), config.text.width);
    assert!(
        t <= config.text.context_length,
        "a text of {t} tokens is longer than the context"
    );
    let mut x = Tensor::zeros(&[1, t, width]);
    for (i, &token) in tokens.iter().enumerate() {
        let word = params.get("token_embedding.weight").row(token as usize);
        add_to(x.row_mut(i), word);
        add_to(x.row_mut(i), params.get("positional_embedding").row(i));
    }
    let layers = config.text.layers;
    let (hidden, blocks) = transformer(params, "transformer", layers, options(config), x);
    let normed = layer_norm_at(params, "ln_final.", &hidden);
    let pooled = Tensor::new(&[1, width], normed.row(end_of_text(tokens)).to_vec());
    let embedding = project_at(params, "text_projection", &pooled);
    TextTrace {
        tokens: tokens.to_vec(),
        blocks,
        hidden,
        pooled,
        embedding,
    }
}

/// Adds the tower's gradients, from that of the text's embedding `[1, e]`.
pub fn backward(
    config: &ModelConfig,
    params: &Params,
    grads: &mut Params,
    trace: &TextTrace,
    d_embedding: &Tensor,
) {
    let d_pooled =
        project_at_backward(params, grads, "text_projection", &trace.pooled, d_embedding);
    let mut d_normed = Tensor::zeros(&trace.hidden.shape);
    d_normed
        .row_mut(end_of_text(&trace.tokens))
        .copy_from_slice(d_pooled.row(0));
    let d = layer_norm_at_backward(params, grads, "ln_final.", &trace.hidden, &d_normed);
    let options = options(config);
    let d = transformer_backward(params, grads, "transformer", options, &trace.blocks, d);
    for (i, &token) in trace.tokens.iter().enumerate() {
        let words = grads.get_mut("token_embedding.weight");
        add_to(words.row_mut(token as usize), d.row(i));
        let positions = grads.get_mut("positional_embedding");
        add_to(positions.row_mut(i), d.row(i));
    }
}
