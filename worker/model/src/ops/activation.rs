//! GELU, exact and quick: element by element.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{Output, Slot, Values, block_rows, map_blocks, record};
use super::simd::{exp, mul_add, multiversion, normal};

/// `x` times the normal distribution's cumulative function at `x`, by erf and not by tanh.
pub fn gelu(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Activation>::fused_activation(
        x.into_dispatch(),
        Kind::Gelu,
    ))
}

/// `x * sigmoid(1.702 x)`, the approximation that OpenAI's checkpoints were trained with.
pub fn quick_gelu(x: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Activation>::fused_activation(
        x.into_dispatch(),
        Kind::QuickGelu,
    ))
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Gelu,
    QuickGelu,
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait Activation: Backend {
    #[fusion(default)]
    fn fused_activation(x: FloatTensor<Self>, kind: Kind) -> FloatTensor<Self> {
        composed::activation::<Self>(x, kind)
    }
}

pub(super) trait ActivationBackward: Activation {
    /// The gradient of x, given the output's.
    fn activation_backward(
        x: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        kind: Kind,
    ) -> FloatTensor<Self> {
        composed::activation_backward::<Self>(x, grad, kind)
    }
}

impl Activation for Flex {
    fn fused_activation(x: FlexTensor, kind: Kind) -> FlexTensor {
        let x = Values::of(x);
        let block = block_rows(1);
        let mut out = Output::new(x.shape());
        map_blocks(out.slots(), block, |i, out| {
            let x = &x[i * block..][..out.len()];
            match kind {
                Kind::Gelu => gelu_forward(x, out),
                Kind::QuickGelu => quick_forward(x, out),
            }
        });
        // SAFETY: the blocks cover the output, and the kernels write every element of a block.
        unsafe { out.into_tensor() }
    }
}

impl ActivationBackward for Flex {
    fn activation_backward(x: FlexTensor, grad: FlexTensor, kind: Kind) -> FlexTensor {
        let [x, grad] = [x, grad].map(Values::of);
        let block = block_rows(1);
        let mut dx = Output::new(x.shape());
        map_blocks(dx.slots(), block, |i, dx| {
            let x = &x[i * block..][..dx.len()];
            let grad = &grad[i * block..][..dx.len()];
            match kind {
                Kind::Gelu => gelu_backward(x, grad, dx),
                Kind::QuickGelu => quick_backward(x, grad, dx),
            }
        });
        // SAFETY: the blocks cover the output, and the kernels write every element of a block.
        unsafe { dx.into_tensor() }
    }
}

multiversion! {
    fn gelu_forward<const FMA: bool>(x: &[f32], out: &mut [Slot]) {
        for (out, &x) in out.iter_mut().zip(x) {
            let (cdf, _) = normal::<FMA>(x);
            out.write(x * cdf);
        }
    }
}

multiversion! {
    fn gelu_backward<const FMA: bool>(x: &[f32], grad: &[f32], dx: &mut [Slot]) {
        for ((dx, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
            let (cdf, density) = normal::<FMA>(x);
            dx.write(grad * mul_add::<FMA>(x, density, cdf));
        }
    }
}

/// `sigmoid(1.702 x)`.
#[inline(always)]
fn gate<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-1.702 * x))
}

multiversion! {
    fn quick_forward<const FMA: bool>(x: &[f32], out: &mut [Slot]) {
        for (out, &x) in out.iter_mut().zip(x) {
            out.write(x * gate::<FMA>(x));
        }
    }
}

multiversion! {
    fn quick_backward<const FMA: bool>(x: &[f32], grad: &[f32], dx: &mut [Slot]) {
        for ((dx, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
            let s = gate::<FMA>(x);
            dx.write(grad * s * mul_add::<FMA>(1.702 * x, 1.0 - s, 1.0));
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: ActivationBackward> Backward<B, 1> for Step {
    type State = (FloatTensor<B>, Kind);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, kind) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::activation_backward(x, grad, kind));
        }
    }
}

impl<B: ActivationBackward, C: CheckpointStrategy> Activation for Autodiff<B, C> {
    fn fused_activation(x: FloatTensor<Self>, kind: Kind) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let out = B::fused_activation(x.clone(), kind);
        record::<C, _, _, _>(Step, [node], out, || (x, kind))
    }
}
