//! The linear layer in PyTorch's layout.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::exact::ExactProduct;
use super::glue::{
    Output, Values, block_rows, map_blocks, map_ranges, record, sum_in_order, tensor,
};
use super::product::{Matrix, product, product_over};
use super::simd::multiversion;

/// `x` [R, i] times the transpose of `weight` [o, i], plus `bias` [o]; returns [R, o].
///
/// A transposed `weight` costs no copy. The gradient of an untracked input is not computed, and what
/// it alone would need is not saved.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let ([_, inner], [outputs, inputs]) = (x.dims(), weight.dims());
    assert_eq!(
        inner, inputs,
        "linear: x has one column for each input of the weight"
    );
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        None => <Dispatch as Linear>::fused_linear(x, weight),
        Some(bias) => {
            assert_eq!(
                bias.dims(),
                [outputs],
                "linear: the bias has one number an output"
            );
            <Dispatch as Linear>::fused_linear_bias(x, weight, bias.into_dispatch())
        }
    })
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait Linear: Backend + ExactProduct {
    #[fusion(default)]
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::linear::<Self>(x, weight, None)
    }
    #[fusion(default)]
    fn fused_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::linear::<Self>(x, weight, Some(bias))
    }
}

pub(super) trait LinearBackward: Linear {
    /// `grad` [R, o] times `weight` [o, i].
    fn linear_input_gradient(
        grad: &FloatTensor<Self>,
        weight: &FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::input_gradient::<Self>(grad, weight)
    }
    /// The transpose of `grad` [R, o] times `x` [R, i].
    fn linear_weight_gradient(
        grad: &FloatTensor<Self>,
        x: &FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        composed::weight_gradient::<Self>(grad, x)
    }
    /// The column sums of `grad` [R, o].
    fn linear_bias_gradient(grad: FloatTensor<Self>) -> FloatTensor<Self> {
        composed::bias_gradient::<Self>(grad)
    }
}

impl Linear for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let shape = [dims(&x)[0], dims(&weight)[0]];
        with_matrices(&x, &weight, |x, w| multiply(x, w.transposed(), shape))
    }

    fn fused_linear_bias(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let ([rows, _], bias) = (dims(&x), Values::of(bias));
        let outputs = bias.len();
        let mut out = Output::new([rows, outputs]);
        map_blocks(out.slots(), block_rows(outputs) * outputs, |_, out| {
            for row in out.chunks_exact_mut(outputs) {
                row.write_copy_of_slice(&bias);
            }
        });
        // SAFETY: the blocks are whole rows, they cover the output, and each row was written.
        let mut values = unsafe { out.into_values() };
        with_matrices(&x, &weight, |x, w| {
            product_over(&mut values, outputs, true, x, w.transposed(), 1.0);
        });
        tensor(values, [rows, outputs])
    }
}

impl LinearBackward for Flex {
    fn linear_input_gradient(grad: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let shape = [dims(grad)[0], dims(weight)[1]];
        with_matrices(grad, weight, |g, w| multiply(g, w, shape))
    }

    fn linear_weight_gradient(grad: &FlexTensor, x: &FlexTensor) -> FlexTensor {
        let shape = [dims(grad)[1], dims(x)[1]];
        with_matrices(grad, x, |g, x| multiply(g.transposed(), x, shape))
    }

    fn linear_bias_gradient(grad: FlexTensor) -> FlexTensor {
        let grad = Values::of(grad);
        let [rows, width] = grad.dims();
        let parts = map_ranges(rows, block_rows(width), |rows| {
            let mut sums = vec![0.0; width];
            column_sums(&grad[rows.start * width..rows.end * width], &mut sums);
            sums
        });
        tensor(sum_in_order(parts, width), [width])
    }
}

fn dims(tensor: &FlexTensor) -> [usize; 2] {
    tensor.layout().shape().dims()
}

/// Runs `work` on both tensors as they lie; one with a negative stride is copied first.
fn with_matrices<R>(
    lhs: &FlexTensor,
    rhs: &FlexTensor,
    work: impl FnOnce(Matrix<'_>, Matrix<'_>) -> R,
) -> R {
    let copies = [lhs, rhs].map(|t| Matrix::view(t).is_none().then(|| t.to_contiguous()));
    let matrix = |i: usize, given| Matrix::view(copies[i].as_ref().unwrap_or(given));
    work(
        matrix(0, lhs).expect("a contiguous tensor's strides are positive"),
        matrix(1, rhs).expect("a contiguous tensor's strides are positive"),
    )
}

fn multiply(lhs: Matrix<'_>, rhs: Matrix<'_>, shape: [usize; 2]) -> FlexTensor {
    let mut out = Output::new(shape);
    product(out.slots(), shape[1], lhs, rhs, 1.0);
    // SAFETY: the shape is the product's, so it writes every element.
    unsafe { out.into_tensor() }
}

multiversion! {
    fn column_sums<const _FMA: bool>(rows: &[f32], sums: &mut [f32]) {
        for row in rows.chunks_exact(sums.len()) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += v);
        }
    }
}

/// The weight if x is tracked, and x if the weight is.
type Saved<B> = (Option<FloatTensor<B>>, Option<FloatTensor<B>>);

#[derive(Debug)]
struct Step;

impl<B: LinearBackward> Backward<B, 2> for Step {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let parents = ops.parents.map(|parent| parent.map(|p| p.id));
        register_products::<B>(grads, parents, ops.state, &grad);
    }
}

impl<B: LinearBackward> Backward<B, 3> for Step {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        let [x, weight, bias] = ops.parents.map(|parent| parent.map(|p| p.id));
        register_products::<B>(grads, [x, weight], ops.state, &grad);
        if let Some(bias) = bias {
            grads.register::<B>(bias, B::linear_bias_gradient(grad));
        }
    }
}

fn register_products<B: LinearBackward>(
    grads: &mut Gradients,
    [x_id, weight_id]: [Option<NodeId>; 2],
    (weight, x): Saved<B>,
    grad: &FloatTensor<B>,
) {
    if let (Some(id), Some(weight)) = (x_id, weight) {
        grads.register::<B>(id, B::linear_input_gradient(grad, &weight));
    }
    if let (Some(id), Some(x)) = (weight_id, x) {
        grads.register::<B>(id, B::linear_weight_gradient(grad, &x));
    }
}

impl<B: LinearBackward, C: CheckpointStrategy> Linear for Autodiff<B, C> {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        let (for_x, for_weight) = (x.is_tracked(), weight.is_tracked());
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let out = B::fused_linear(x.clone(), weight.clone());
        record::<C, _, _, _>(Step, [x_node, weight_node], out, || {
            (for_x.then_some(weight), for_weight.then_some(x))
        })
    }

    fn fused_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (for_x, for_weight) = (x.is_tracked(), weight.is_tracked());
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (bias, bias_node) = bias.into_parts();
        let out = B::fused_linear_bias(x.clone(), weight.clone(), bias);
        record::<C, _, _, _>(Step, [x_node, weight_node, bias_node], out, || {
            (for_x.then_some(weight), for_weight.then_some(x))
        })
    }
}
