//! Pre-LN Transformer blocks, the same in both towers.

use burn::tensor::{Int, Tensor};

use super::EPSILON;
use super::recompute::Tape;
use super::weights::Scope;
use crate::ops;

/// The numbers of a stack of blocks.
#[derive(Clone, Copy)]
pub(super) struct Transformer {
    pub layers: usize,
    pub heads: usize,
    pub causal: bool,
    pub quick_gelu: bool,
}

/// Layer norm with the weight and bias of that name; rows `[n, w]`.
pub(super) fn layer_norm(w: &Scope<'_>, name: &str, rows_nw: Tensor<2>) -> Tensor<2> {
    let norm = w.scope(name);
    ops::layer_norm(rows_nw, norm.vector("weight"), norm.vector("bias"), EPSILON)
}

/// Linear layer with the weight and bias of that name; rows `[n, i]` to `[n, o]`.
pub(super) fn linear(w: &Scope<'_>, name: &str, rows_ni: Tensor<2>) -> Tensor<2> {
    let layer = w.scope(name);
    ops::linear(rows_ni, layer.matrix("weight"), Some(layer.vector("bias")))
}

impl Transformer {
    /// A block's name in the stack.
    pub(super) fn name_of(layer: usize) -> String {
        format!("resblocks.{layer}")
    }

    /// Runs the blocks over tokens `[b * t, w]` of `batch` samples and returns the rows `read`
    /// of the last one, `[b, w]`.
    ///
    /// Where activations are computed again in the backward pass, what that needs comes with them.
    pub(super) fn forward(
        &self,
        w: &Scope<'_>,
        x_nw: Tensor<2>,
        batch: usize,
        read_b: &Tensor<1, Int>,
    ) -> (Tensor<2>, Option<Tape>) {
        if w.weights().recomputes() {
            let (x_bw, tape) = Tape::record(self, w, x_nw, batch, read_b);
            return (x_bw, Some(tape));
        }
        let block = |x_nw, layer| self.block(w, layer, x_nw, batch, read_b);
        ((0..self.layers).fold(x_nw, block), None)
    }

    /// One block. A tower reads one row of each sample. After the last attention rows do not meet
    /// again, so only those rows go on from there: the same numbers, and most of that block's work
    /// saved.
    pub(super) fn block(
        &self,
        w: &Scope<'_>,
        layer: usize,
        mut x_nw: Tensor<2>,
        batch: usize,
        read_b: &Tensor<1, Int>,
    ) -> Tensor<2> {
        let block = w.scope(&Self::name_of(layer));
        let mut attended_nw = self.attend(&block, x_nw.clone(), batch);
        if layer + 1 == self.layers {
            x_nw = x_nw.select(0, read_b.clone());
            attended_nw = attended_nw.select(0, read_b.clone());
        }
        x_nw = x_nw + linear(&block, "attn.out_proj", attended_nw);
        x_nw.clone() + self.mlp(&block, x_nw)
    }

    /// Attention up to its output projection; rows `[b * t, w]`.
    fn attend(&self, block: &Scope<'_>, x_nw: Tensor<2>, batch: usize) -> Tensor<2> {
        let [rows, width] = x_nw.dims();
        let qkv = ops::linear(
            layer_norm(block, "ln_1", x_nw),
            block.matrix("attn.in_proj_weight"),
            Some(block.vector("attn.in_proj_bias")),
        );
        let qkv = qkv.reshape([batch, rows / batch, 3 * width]);
        ops::attention(qkv, self.heads, self.causal).reshape([rows, width])
    }

    fn mlp(&self, block: &Scope<'_>, x_nw: Tensor<2>) -> Tensor<2> {
        let hidden = linear(block, "mlp.c_fc", layer_norm(block, "ln_2", x_nw));
        let active = if self.quick_gelu {
            ops::quick_gelu(hidden)
        } else {
            ops::gelu(hidden)
        };
        linear(block, "mlp.c_proj", active)
    }
}

/// Some rows of a matrix, in that order.
#[must_use]
pub fn rows(t_nw: Tensor<2>, numbers: impl Iterator<Item = usize>) -> Tensor<2> {
    let numbers = row_numbers(numbers, &t_nw);
    t_nw.select(0, numbers)
}

/// Row numbers as a tensor beside `like`.
pub(super) fn row_numbers<const D: usize>(
    rows: impl Iterator<Item = usize>,
    like: &Tensor<D>,
) -> Tensor<1, Int> {
    let numbers: Vec<i64> = rows.map(|row| row as i64).collect();
    let count = numbers.len();
    Tensor::from_data(
        burn::tensor::TensorData::new(numbers, [count]),
        &like.device(),
    )
}
