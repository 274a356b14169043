//! Activation recompute (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): of a
//! stack of blocks a pass keeps each block's input alone, and the backward pass computes the rest again
//! block by block, the gradient of a block's output entering from outside.

use burn::tensor::{Gradients, Int, Tensor};

use super::Weights;
use super::transformer::Transformer;
use super::weights::Scope;

/// What a pass through a stack of blocks has kept.
#[derive(Clone)]
pub struct Tape {
    blocks: Transformer,
    /// The blocks' name.
    prefix: String,
    batch: usize,
    read_b: Tensor<1, Int>,
    /// What entered the first block, on the graph of what came before.
    stem_nw: Tensor<2>,
    /// What entered each block, off any graph.
    inputs_nw: Vec<Tensor<2>>,
    /// What the last block gave, where the graph of what follows begins.
    head_bw: Tensor<2>,
}

impl Tape {
    /// Runs the blocks; arguments as [`Transformer::forward`]'s. Returns what the last one gave.
    pub(super) fn record(
        blocks: &Transformer,
        w: &Scope<'_>,
        stem_nw: Tensor<2>,
        batch: usize,
        read_b: &Tensor<1, Int>,
    ) -> (Tensor<2>, Self) {
        let untracked = w.weights().untracked();
        let plain = untracked.scope(w.name());
        let read_plain = read_b.clone().inner();
        let mut x_nw = stem_nw.clone().inner();
        let mut inputs_nw = Vec::with_capacity(blocks.layers);
        for layer in 0..blocks.layers {
            inputs_nw.push(x_nw.clone());
            x_nw = blocks.block(&plain, layer, x_nw, batch, &read_plain);
        }
        let head_bw = x_nw.autodiff().require_grad();
        let tape = Self {
            blocks: *blocks,
            prefix: w.name().to_owned(),
            batch,
            read_b: read_b.clone(),
            stem_nw,
            inputs_nw,
            head_bw: head_bw.clone(),
        };
        (head_bw, tape)
    }

    /// Goes on backward from `grads`, the gradients of what followed the blocks, and hands the
    /// gradients of each block, and of what came before them, to `collect`.
    pub(super) fn backward(
        &self,
        w: &Weights<'_>,
        grads: &mut Gradients,
        mut collect: impl FnMut(&mut Gradients),
    ) {
        let scope = w.scope(&self.prefix);
        let Some(mut gradient) = self.head_bw.grad_remove(grads) else {
            return;
        };
        let before = |layer: usize| {
            let trained = |layer| scope.is_trained(&Transformer::name_of(layer));
            self.stem_nw.is_tracked() || (0..layer).any(trained)
        };
        for (layer, input_nw) in self.inputs_nw.iter().enumerate().rev() {
            let leaf_nw = input_nw.clone().autodiff().set_require_grad(before(layer));
            let read_b = &self.read_b;
            let out = self
                .blocks
                .block(&scope, layer, leaf_nw.clone(), self.batch, read_b);
            if !out.is_tracked() {
                // This block is locked, and so is everything before it.
                return;
            }
            let mut grads = pull(out, gradient);
            collect(&mut grads);
            let Some(gradient_of_input) = leaf_nw.grad_remove(&mut grads) else {
                return;
            };
            gradient = gradient_of_input;
        }
        collect(&mut pull(self.stem_nw.clone(), gradient));
    }
}

/// The gradients of everything behind `output`, given its own.
fn pull(output: Tensor<2>, gradient: Tensor<2>) -> Gradients {
    along(output, gradient).backward()
}

/// A number `[1]` whose gradient with respect to `output` is `gradient`.
pub(super) fn along(output: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    (output * gradient.autodiff()).sum()
}
