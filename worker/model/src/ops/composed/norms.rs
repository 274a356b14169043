//! Norms over rows and over columns.

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;

use super::num::Num;
use crate::ops::batch_norm::Saved;

pub(in crate::ops) fn layer_norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    eps: f32,
) -> FloatTensor<B> {
    let dtype = Num::<B>(x.clone()).dtype();
    let [gamma, beta] = [gamma, beta].map(row::<B>);
    let (normal, _) = normalised(Num::<B>::wide(x), eps);
    (normal * gamma + beta).cast(dtype).0
}

pub(in crate::ops) fn layer_norm_backward<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    grad: FloatTensor<B>,
    eps: f32,
) -> [FloatTensor<B>; 3] {
    let [x_dtype, gamma_dtype] = [&x, &gamma].map(|t| Num::<B>(t.clone()).dtype());
    let gamma = row::<B>(gamma);
    let grad = Num::<B>::wide(grad);
    let (normal, inverse) = normalised(Num::<B>::wide(x), eps);
    let scaled = grad.clone() * gamma;
    let along = (scaled.clone() * normal.clone()).mean(1);
    let dx = (scaled.clone() - scaled.mean(1) - normal.clone() * along) * inverse;
    let dgamma = (grad.clone() * normal)
        .column_sums()
        .vector()
        .cast(gamma_dtype);
    let dbeta = grad.column_sums().vector().cast(gamma_dtype);
    [dx.cast(x_dtype).0, dgamma.0, dbeta.0]
}

/// Rows less their mean over their biased deviation, and the deviation's inverse `[R, 1]`.
fn normalised<B: Backend>(x: Num<B>, eps: f32) -> (Num<B>, Num<B>) {
    let centred = x.clone() - x.mean(1);
    let variance = (centred.clone() * centred.clone()).mean(1);
    let inverse = variance.plus(eps).sqrt().recip();
    (centred * inverse.clone(), inverse)
}

/// A vector as a row of f32.
fn row<B: Backend>(vector: FloatTensor<B>) -> Num<B> {
    let vector = Num::<B>::wide(vector);
    let [width] = vector.dims();
    vector.reshape([1, width])
}

/// As `torch.nn.functional.normalize`, and in f32, which the loss is computed in.
pub(in crate::ops) fn l2_normalize<B: Backend>(x: FloatTensor<B>, least: f32) -> FloatTensor<B> {
    let x = Num::<B>::wide(x);
    let length = (x.clone() * x.clone()).sum(1).sqrt();
    (x / length.at_least(least)).0
}

pub(in crate::ops) fn l2_normalize_backward<B: Backend>(
    x: FloatTensor<B>,
    grad: FloatTensor<B>,
    least: f32,
) -> FloatTensor<B> {
    let dtype = Num::<B>(x.clone()).dtype();
    let [x, grad] = [x, grad].map(Num::<B>::wide);
    let length = (x.clone() * x.clone()).sum(1).sqrt();
    let inverse = length.clone().at_least(least).recip();
    // A shorter row is divided by a constant, so its direction does not enter.
    let along =
        (x.clone() * grad.clone()).sum(1) * inverse.clone() * inverse.clone() * length.above(least);
    ((grad - x * along) * inverse).cast(dtype).0
}

/// The output, the mean and the unbiased variance.
pub(in crate::ops) fn batch_norm<B: Backend>(
    x: FloatTensor<B>,
    gamma: FloatTensor<B>,
    beta: FloatTensor<B>,
    eps: f32,
    relu: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let dtype = Num::<B>(x.clone()).dtype();
    let x = Num::<B>::wide(x);
    let [rows, _] = x.dims::<2>();
    let share = 1.0 / rows as f32;
    // What the first mean misses by, the mean of what is left says.
    let mean = x.clone().column_sums().times(share);
    let rest = (x.clone() - mean.clone()).column_sums().times(share);
    let mean = mean + rest;
    let centred = x - mean.clone();
    let squares = (centred.clone() * centred.clone()).column_sums();
    let inverse = squares.clone().times(share).plus(eps).sqrt().recip();
    let out = centred * inverse * row::<B>(gamma) + row::<B>(beta);
    let out = if relu { out.at_least(0.0) } else { out };
    let variance = squares.times(1.0 / (rows as f32 - 1.0).max(1.0));
    let [mean, variance] = [mean, variance].map(|moment| moment.vector().0);
    (out.cast(dtype).0, mean, variance)
}

pub(in crate::ops) fn batch_norm_backward<B: Backend>(
    saved: Saved<FloatTensor<B>>,
    grad: FloatTensor<B>,
) -> [FloatTensor<B>; 3] {
    let [x_dtype, gamma_dtype] = [&saved.x, &saved.gamma].map(|t| Num::<B>(t.clone()).dtype());
    let [x, grad] = [saved.x, grad].map(Num::<B>::wide);
    let [gamma, beta, mean, variance] =
        [saved.gamma, saved.beta, saved.mean, saved.variance].map(row::<B>);
    let [rows, _] = x.dims::<2>();
    let bias = (rows - 1) as f32 / rows as f32;
    let inverse = variance.times(bias).plus(saved.eps).sqrt().recip();
    let normal = (x - mean) * inverse.clone();
    let grad = match saved.relu {
        true => grad * (normal.clone() * gamma.clone() + beta).above(0.0),
        false => grad,
    };
    let share = 1.0 / rows as f32;
    let product = (grad.clone() * normal.clone()).column_sums();
    let total = grad.clone().column_sums();
    let centred = grad - normal * product.clone().times(share) - total.clone().times(share);
    let dx = (centred * gamma * inverse).cast(x_dtype);
    let vector = |sums: Num<B>| sums.vector().cast(gamma_dtype).0;
    [dx.0, vector(product), vector(total)]
}
