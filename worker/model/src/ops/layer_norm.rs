//! LayerNorm over rows.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{Output, Slot, Values, block_rows, map_blocks, record, sum_in_order, tensor};
use super::simd::{dot, lane_sum, mul_add, multiversion};

/// Each row of `x` [R, C] less its mean, over the root of its biased variance plus `eps`, times
/// `gamma` [C] plus `beta` [C].
pub fn layer_norm(x: Tensor<2>, gamma: Tensor<1>, beta: Tensor<1>, eps: f32) -> Tensor<2> {
    let [_, width] = x.dims();
    assert_eq!(
        gamma.dims(),
        [width],
        "layer_norm: gamma has one number a column"
    );
    assert_eq!(
        beta.dims(),
        [width],
        "layer_norm: beta has one number a column"
    );
    Tensor::from_dispatch(<Dispatch as LayerNorm>::fused_layer_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        eps,
    ))
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait LayerNorm: Backend {
    #[fusion(default)]
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        composed::layer_norm::<Self>(x, gamma, beta, eps)
    }
}

pub(super) trait LayerNormBackward: LayerNorm {
    /// The gradients of x, gamma and beta, given the output's.
    fn layer_norm_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f32,
    ) -> [FloatTensor<Self>; 3] {
        composed::layer_norm_backward::<Self>(x, gamma, grad, eps)
    }
}

impl LayerNorm for Flex {
    fn fused_layer_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f32,
    ) -> FlexTensor {
        let [x, gamma, beta] = [x, gamma, beta].map(Values::of);
        let block = block_rows(gamma.len()) * gamma.len();
        let mut out = Output::new(x.shape());
        map_blocks(out.slots(), block, |i, out| {
            forward(&x[i * block..][..out.len()], &gamma, &beta, eps, out);
        });
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        unsafe { out.into_tensor() }
    }
}

impl LayerNormBackward for Flex {
    fn layer_norm_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        grad: FlexTensor,
        eps: f32,
    ) -> [FlexTensor; 3] {
        let [x, gamma, grad] = [x, gamma, grad].map(Values::of);
        let width = gamma.len();
        let block = block_rows(width) * width;
        let mut dx = Output::new(x.shape());
        let parts = map_blocks(dx.slots(), block, |i, dx| {
            let mut sums = vec![0.0; 2 * width];
            let (dgamma, dbeta) = sums.split_at_mut(width);
            let here = i * block..i * block + dx.len();
            backward(
                &x[here.clone()],
                &gamma,
                &grad[here],
                eps,
                dx,
                dgamma,
                dbeta,
            );
            sums
        });
        let mut dgamma = sum_in_order(parts, 2 * width);
        let dbeta = dgamma.split_off(width);
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        let dx = unsafe { dx.into_tensor() };
        [dx, tensor(dgamma, [width]), tensor(dbeta, [width])]
    }
}

/// A row's mean and the inverse of its standard deviation.
#[inline(always)]
fn moments(row: &[f32], eps: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = lane_sum(row, |v| v) / count;
    let variance = lane_sum(row, |v| (v - mean) * (v - mean)) / count;
    (mean, 1.0 / (variance + eps).sqrt())
}

multiversion! {
    fn forward<const FMA: bool>(
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        out: &mut [Slot],
    ) {
        let width = gamma.len();
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(row, eps);
            for (((o, &v), &g), &b) in out.iter_mut().zip(row).zip(gamma).zip(beta) {
                o.write(mul_add::<FMA>((v - mean) * inverse, g, b));
            }
        }
    }
}

multiversion! {
    fn backward<const FMA: bool>(
        x: &[f32],
        gamma: &[f32],
        grad: &[f32],
        eps: f32,
        dx: &mut [Slot],
        dgamma: &mut [f32],
        dbeta: &mut [f32],
    ) {
        let width = gamma.len();
        // One row's normalised input and its gradient.
        let mut normal = vec![0.0; width];
        let mut scaled = vec![0.0; width];
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((row, grad), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            let (mean, inverse) = moments(row, eps);
            for k in 0..width {
                normal[k] = (row[k] - mean) * inverse;
                scaled[k] = grad[k] * gamma[k];
                dgamma[k] = mul_add::<FMA>(grad[k], normal[k], dgamma[k]);
                dbeta[k] += grad[k];
            }
            let mean_scaled = lane_sum(&scaled, |v| v) / width as f32;
            let mean_product = dot::<FMA>(&scaled, &normal) / width as f32;
            for ((dx, &s), &n) in dx.iter_mut().zip(&scaled).zip(&normal) {
                dx.write((mul_add::<FMA>(-n, mean_product, s) - mean_scaled) * inverse);
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: LayerNormBackward> Backward<B, 3> for Step {
    type State = (FloatTensor<B>, FloatTensor<B>, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, gamma, eps) = ops.state;
        let gradients = B::layer_norm_backward(x, gamma, grads.consume::<B>(&ops.node), eps);
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: LayerNormBackward, C: CheckpointStrategy> LayerNorm for Autodiff<B, C> {
    fn fused_layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|t| t.into_primitive());
        let out = B::fused_layer_norm(x.clone(), gamma.clone(), beta, eps);
        record::<C, _, _, _>(Step, nodes, out, || (x, gamma, eps))
    }
}
