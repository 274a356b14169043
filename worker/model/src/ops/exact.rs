//! Matrix products in f32 whose factors keep all their digits.
//!
//! A GPU's tensor cores take f32 factors with ten bits of precision (TF32). That is enough for towers,
//! where it may be switched off, and not for the loss: a logit of 100 would be off by a tenth.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Shape, Tensor};

use super::glue::record;

/// Whether the towers' products may round f32 factors, in this process.
static TOWERS_ROUND: AtomicBool = AtomicBool::new(true);

/// Sets whether the towers' products of f32 may be computed in TF32, for the whole process.
pub fn allow_tf32(allowed: bool) {
    TOWERS_ROUND.store(allowed, Ordering::Relaxed);
}

/// Whether they may.
pub(super) fn tf32_is_allowed() -> bool {
    TOWERS_ROUND.load(Ordering::Relaxed)
}

/// `a` [R, i] times `b` [i, C], in f32 on every device.
pub fn exact_product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as ExactProduct>::multiply_exactly(
        a.into_dispatch(),
        b.into_dispatch(),
    ))
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait ExactProduct: Backend {
    /// Products of the last two dimensions; those before are the same in both.
    #[fusion(dtype = a, shape = product_shape(a, b))]
    fn multiply_exactly(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }
}

/// The shape of a product of the last two dimensions.
#[cfg_attr(
    not(feature = "gpu"),
    expect(dead_code, reason = "asked for by kernel fusion")
)]
fn product_shape(a: &Shape, b: &Shape) -> Shape {
    let mut shape = a.clone();
    let last = shape.num_dims() - 1;
    shape[last] = b[last];
    shape
}

impl ExactProduct for Flex {}

#[derive(Debug)]
struct Step;

impl<B: ExactProduct> Backward<B, 2> for Step {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (a, b) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        let [of_a, of_b] = ops.parents;
        if let Some(parent) = of_a {
            let da = B::multiply_exactly(grad.clone(), B::float_transpose(b));
            grads.register::<B>(parent.id, da);
        }
        if let Some(parent) = of_b {
            let db = B::multiply_exactly(B::float_transpose(a), grad);
            grads.register::<B>(parent.id, db);
        }
    }
}

impl<B: ExactProduct, C: CheckpointStrategy> ExactProduct for Autodiff<B, C> {
    fn multiply_exactly(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((a, a_node), (b, b_node)) = (a.into_parts(), b.into_parts());
        let out = B::multiply_exactly(a.clone(), b.clone());
        record::<C, _, _, _>(Step, [a_node, b_node], out, || (a, b))
    }
}

#[cfg(feature = "gpu")]
mod gpu {
    use super::{ExactProduct, product_shape};
    use burn::backend::TensorMetadata;
    use burn::backend::cubecl::dtype_to_storage_type;
    use burn_cubecl::CubeBackend;
    use burn_cubecl::ops::numeric::empty_device_dtype;
    use burn_cubecl::tensor::CubeTensor;
    use cubek::matmul::definition::MatmulElems;
    use cubek::matmul::launch::launch_ref;
    use cubek::matmul::multi_level::Strategy;
    use cubek::std::InputBinding;

    impl ExactProduct for CubeBackend {
        fn multiply_exactly(a: CubeTensor, b: CubeTensor) -> CubeTensor {
            let shape = product_shape(&a.shape(), &b.shape());
            let out = empty_device_dtype(a.client.clone(), a.device.clone(), shape, a.dtype);
            let f32s = dtype_to_storage_type(a.dtype);
            // Units are a GPU's plain cores, which round nothing; the last needs nothing of a device.
            let strategies = [
                Strategy::DoubleUnit(Default::default()),
                Strategy::SimpleUnit(Default::default()),
                Strategy::Naive,
            ];
            for strategy in strategies {
                let [a, b] = [&a, &b].map(|t| InputBinding::new(t.clone().binding(), f32s));
                let mut types = MatmulElems::from_single_dtype(f32s);
                let target = out.clone().binding();
                if launch_ref(&strategy.into(), &out.client, a, b, target, &mut types).is_ok() {
                    return out;
                }
            }
            panic!("a GPU that multiplies no matrices");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::device_under_test as device;
    use burn::tensor::TensorData;

    /// A number that TF32 would round, beside one that it would not.
    const FINE: f32 = 1.0 + 1.0 / 4096.0;

    #[test]
    fn products_keep_the_digits_that_tf32_would_round() {
        let (rows, inner, columns) = (33, 70, 9);
        let of = |rows: usize, columns: usize, value: f32| {
            let data = TensorData::new(vec![value; rows * columns], [rows, columns]);
            Tensor::<2>::from_data(data, &device())
        };
        let product = exact_product(of(rows, inner, FINE), of(columns, inner, 1.0).transpose());
        let numbers: Vec<f32> = product.into_data().try_into_vec().expect("f32");
        assert_eq!(numbers.len(), rows * columns);
        let exact = inner as f32 * FINE;
        assert!(
            numbers.iter().all(|n| (n - exact).abs() < 1e-5 * exact),
            "{numbers:?}"
        );
    }
}
