//! Average pooling over squares that do not overlap.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{Values, map_blocks, record, tensor};
use super::simd::multiversion;

/// The means of the k x k squares of `x` [B, H, W, C]: [B, H/k, W/k, C], rounded down. Lines and
/// columns that fill no square are left out and get no gradient.
pub fn avg_pool(x: Tensor<4>, k: usize) -> Tensor<4> {
    let [_, height, width, channels] = x.dims();
    assert!(k > 0, "avg_pool: a square is at least 1 wide");
    if k == 1 {
        return x;
    }
    let pool = Pool {
        height,
        width,
        channels,
        k,
    };
    Tensor::from_dispatch(<Dispatch as AvgPool>::fused_avg_pool(
        x.into_dispatch(),
        pool,
    ))
}

/// A picture's sizes and the square's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pool {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) k: usize,
}

impl Pool {
    pub(super) fn out_height(&self) -> usize {
        self.height / self.k
    }

    pub(super) fn out_width(&self) -> usize {
        self.width / self.k
    }

    fn picture(&self) -> usize {
        self.height * self.width * self.channels
    }

    pub(super) fn share(&self) -> f32 {
        1.0 / (self.k * self.k) as f32
    }
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait AvgPool: Backend {
    #[fusion(default)]
    fn fused_avg_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        composed::avg_pool::<Self>(x, pool)
    }
}

pub(super) trait AvgPoolBackward: AvgPool {
    /// The gradient of x, given the output's.
    fn avg_pool_backward(grad: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        composed::avg_pool_backward::<Self>(grad, pool)
    }
}

impl AvgPool for Flex {
    fn fused_avg_pool(x: FlexTensor, pool: Pool) -> FlexTensor {
        let x = Values::of(x);
        let [batch, ..] = x.dims::<4>();
        let block = pool.out_height() * pool.out_width() * pool.channels;
        let mut out = vec![0.0; batch * block];
        map_blocks(&mut out, block, |i, out| {
            forward(&x[i * pool.picture()..][..pool.picture()], pool, out);
        });
        tensor(
            out,
            [batch, pool.out_height(), pool.out_width(), pool.channels],
        )
    }
}

impl AvgPoolBackward for Flex {
    fn avg_pool_backward(grad: FlexTensor, pool: Pool) -> FlexTensor {
        let grad = Values::of(grad);
        let [batch, ..] = grad.dims::<4>();
        let block = grad.len() / batch.max(1);
        let mut dx = vec![0.0; batch * pool.picture()];
        map_blocks(&mut dx, pool.picture(), |i, dx| {
            backward(&grad[i * block..][..block], pool, dx);
        });
        tensor(dx, [batch, pool.height, pool.width, pool.channels])
    }
}

multiversion! {
    fn forward<const _FMA: bool>(x: &[f32], pool: Pool, out: &mut [f32]) {
        let Pool { width, channels, k, .. } = pool;
        for (i, out) in out.chunks_exact_mut(channels).enumerate() {
            let (y, left) = (i / pool.out_width() * k, i % pool.out_width() * k);
            for y in y..y + k {
                for pixel in x[(y * width + left) * channels..][..k * channels].chunks_exact(channels) {
                    out.iter_mut().zip(pixel).for_each(|(o, v)| *o += v);
                }
            }
            out.iter_mut().for_each(|o| *o *= pool.share());
        }
    }
}

multiversion! {
    fn backward<const _FMA: bool>(grad: &[f32], pool: Pool, dx: &mut [f32]) {
        let Pool { width, channels, k, .. } = pool;
        let share = pool.share();
        for (i, grad) in grad.chunks_exact(channels).enumerate() {
            let (y, left) = (i / pool.out_width() * k, i % pool.out_width() * k);
            for y in y..y + k {
                let line = &mut dx[(y * width + left) * channels..][..k * channels];
                for pixel in line.chunks_exact_mut(channels) {
                    pixel.iter_mut().zip(grad).for_each(|(d, g)| *d = g * share);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: AvgPoolBackward> Backward<B, 1> for Step {
    type State = Pool;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::avg_pool_backward(grad, ops.state));
        }
    }
}

impl<B: AvgPoolBackward, C: CheckpointStrategy> AvgPool for Autodiff<B, C> {
    fn fused_avg_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<C, _, _, _>(Step, [node], B::fused_avg_pool(x, pool), || pool)
    }
}
