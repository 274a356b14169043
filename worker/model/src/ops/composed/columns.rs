//! Linear layers and activations.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

use super::num::Num;
use crate::ops::activation::Kind;
use crate::ops::exact::ExactProduct;

pub(in crate::ops) fn linear<B: ExactProduct>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
) -> FloatTensor<B> {
    let product = Num::<B>(x).matmul(Num(weight).transpose());
    let Some(bias) = bias.map(Num) else {
        return product.0;
    };
    let [outputs] = bias.dims();
    (product + bias.reshape([1, outputs])).0
}

pub(in crate::ops) fn input_gradient<B: ExactProduct>(
    grad: &FloatTensor<B>,
    weight: &FloatTensor<B>,
) -> FloatTensor<B> {
    Num::<B>(grad.clone()).matmul(Num(weight.clone())).0
}

pub(in crate::ops) fn weight_gradient<B: ExactProduct>(
    grad: &FloatTensor<B>,
    x: &FloatTensor<B>,
) -> FloatTensor<B> {
    let transposed = Num::<B>(grad.clone()).transpose();
    transposed.matmul(Num(x.clone())).0
}

pub(in crate::ops) fn bias_gradient<B: Backend>(grad: FloatTensor<B>) -> FloatTensor<B> {
    let grad = Num::<B>(grad);
    let dtype = grad.dtype();
    let sums = Num::<B>::wide(grad.0).column_sums().vector();
    sums.cast(dtype).0
}

/// The cumulative function of the normal distribution, or the quick form's sigmoid.
fn gate<B: Backend>(x: Num<B>, kind: Kind) -> Num<B> {
    match kind {
        Kind::Gelu => x.times(FRAC_1_SQRT_2).erf().plus(1.0).times(0.5),
        Kind::QuickGelu => x.times(-1.702).exp().plus(1.0).recip(),
    }
}

pub(in crate::ops) fn activation<B: Backend>(x: FloatTensor<B>, kind: Kind) -> FloatTensor<B> {
    let dtype = Num::<B>(x.clone()).dtype();
    let x = Num::<B>::wide(x);
    (x.clone() * gate(x, kind)).cast(dtype).0
}

pub(in crate::ops) fn activation_backward<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    kind: Kind,
) -> FloatTensor<B> {
    let dtype = Num::<B>(x.clone()).dtype();
    let [x, grad] = [x, grad].map(Num::<B>::wide);
    let gate = gate(x.clone(), kind);
    let slope = match kind {
        Kind::Gelu => {
            let density = (x.clone() * x.clone()).times(-0.5).exp();
            gate + x * density.times((2.0 * PI).sqrt().recip())
        }
        Kind::QuickGelu => {
            let closed = gate.clone().times(-1.0).plus(1.0);
            gate * (x.times(1.702) * closed).plus(1.0)
        }
    };
    (grad * slope).cast(dtype).0
}
