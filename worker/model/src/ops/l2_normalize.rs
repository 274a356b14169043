//! Rows scaled to unit length.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{Output, Slot, Values, block_rows, map_blocks, record};
use super::simd::{dot, mul_add, multiversion};

/// The least length that a row is divided by, as in `torch.nn.functional.normalize`.
const LEAST: f32 = 1e-12;

/// Each row of `x` [R, C] over its Euclidean length, or over 1e-12 where the row is shorter.
pub fn l2_normalize(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as L2Normalize>::fused_l2_normalize(
        x.into_dispatch(),
    ))
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait L2Normalize: Backend {
    #[fusion(default)]
    fn fused_l2_normalize(x: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::l2_normalize::<Self>(x, LEAST)
    }
}

pub(super) trait L2NormalizeBackward: L2Normalize {
    /// The gradient of x, given the output's.
    fn l2_normalize_backward(x: FloatTensor<Self>, grad: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::l2_normalize_backward::<Self>(x, grad, LEAST)
    }
}

impl L2Normalize for Flex {
    fn fused_l2_normalize(x: FlexTensor) -> FlexTensor {
        let x = Values::of(x);
        let [_, width] = x.dims();
        let block = block_rows(width) * width;
        let mut out = Output::new(x.shape());
        map_blocks(out.slots(), block, |i, out| {
            forward(&x[i * block..][..out.len()], width, out);
        });
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        unsafe { out.into_tensor() }
    }
}

impl L2NormalizeBackward for Flex {
    fn l2_normalize_backward(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        let [x, grad] = [x, grad].map(Values::of);
        let [_, width] = x.dims();
        let block = block_rows(width) * width;
        let mut dx = Output::new(x.shape());
        map_blocks(dx.slots(), block, |i, dx| {
            let here = i * block..i * block + dx.len();
            backward(&x[here.clone()], &grad[here], width, dx);
        });
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        unsafe { dx.into_tensor() }
    }
}

multiversion! {
    fn forward<const FMA: bool>(x: &[f32], width: usize, out: &mut [Slot]) {
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let inverse = 1.0 / dot::<FMA>(row, row).sqrt().max(LEAST);
            for (out, &v) in out.iter_mut().zip(row) {
                out.write(v * inverse);
            }
        }
    }
}

multiversion! {
    fn backward<const FMA: bool>(x: &[f32], grad: &[f32], width: usize, dx: &mut [Slot]) {
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((row, grad), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let length = dot::<FMA>(row, row).sqrt();
            let inverse = 1.0 / length.max(LEAST);
            // A shorter row is divided by a constant, so its direction does not enter.
            let along = if length > LEAST { dot::<FMA>(row, grad) * inverse * inverse } else { 0.0 };
            for ((dx, &v), &g) in dx.iter_mut().zip(row).zip(grad) {
                dx.write(mul_add::<FMA>(-v, along, g) * inverse);
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: L2NormalizeBackward> Backward<B, 1> for Step {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::l2_normalize_backward(ops.state, grad));
        }
    }
}

impl<B: L2NormalizeBackward, C: CheckpointStrategy> L2Normalize for Autodiff<B, C> {
    fn fused_l2_normalize(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let out = B::fused_l2_normalize(x.clone());
        record::<C, _, _, _>(Step, [node], out, || x)
    }
}
