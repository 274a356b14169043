//! Batch norm over rows in training mode, with the ReLU that follows it.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{
    Output, Slot, Values, block_rows, map_blocks, map_ranges, record, sum_in_order, tensor,
};
use super::simd::{mul_add, multiversion};

/// Rows of one block at the least: each block leaves two numbers a column to be joined.
const LEAST_ROWS: usize = 32;

/// Rows that are summed in f32 before the sum goes into an f64. A picture's background makes
/// thousands of equal addends, whose rounding errors do not cancel; the sum of a whole block would
/// miss by as much as decides on which side of ReLU a number falls.
const RUN: usize = 8;

/// The columns' statistics over one batch, for the running ones.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStats {
    /// Mean of each column.
    pub mean: Vec<f32>,
    /// Unbiased variance of each column; zero for a single row.
    pub variance: Vec<f32>,
}

/// Each column of `x` [R, C] less its mean, over the root of its biased variance plus `eps`, times
/// `gamma` [C] plus `beta` [C], and then ReLU if `relu` is set. The statistics are off the graph.
///
/// Moments are joined block by block in f64, so they hold for columns of millions of rows.
pub fn batch_norm(
    x: Tensor<2>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    eps: f32,
    relu: bool,
) -> (Tensor<2>, BatchStats) {
    let [rows, width] = x.dims();
    assert!(rows > 0, "batch_norm: no rows to take statistics of");
    assert_eq!(
        gamma.dims(),
        [width],
        "batch_norm: gamma has one number a column"
    );
    assert_eq!(
        beta.dims(),
        [width],
        "batch_norm: beta has one number a column"
    );
    let (out, mean, variance) = <Dispatch as BatchNorm>::fused_batch_norm(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        eps,
        relu,
    );
    let [mean, variance] = [mean, variance].map(|numbers| {
        let numbers = Tensor::<1>::from_dispatch(numbers).into_data();
        numbers.try_into_vec().expect("the statistics are f32")
    });
    (Tensor::from_dispatch(out), BatchStats { mean, variance })
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait BatchNorm: Backend {
    /// The output, the mean and the unbiased variance.
    #[fusion(default)]
    fn fused_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        composed::batch_norm::<Self>(x, gamma, beta, eps, relu)
    }
}

/// What the backward needs of the forward.
#[derive(Clone, Debug)]
pub(super) struct Saved<T> {
    pub(super) x: T,
    pub(super) gamma: T,
    pub(super) beta: T,
    pub(super) mean: T,
    pub(super) variance: T,
    pub(super) eps: f32,
    pub(super) relu: bool,
}

pub(super) trait BatchNormBackward: BatchNorm {
    /// The gradients of x, gamma and beta, given the output's.
    fn batch_norm_backward(
        saved: Saved<FloatTensor<Self>>,
        grad: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        composed::batch_norm_backward::<Self>(saved, grad)
    }
}

impl BatchNorm for Flex {
    fn fused_batch_norm(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        eps: f32,
        relu: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [x, gamma, beta] = [x, gamma, beta].map(Values::of);
        let [rows, width] = x.dims();
        let (mean, variance) = column_moments(&x, rows, width);
        let inverse = inverse_deviations(&variance, rows, eps);
        let block = block_rows(width) * width;
        let mut out = Output::new([rows, width]);
        map_blocks(out.slots(), block, |i, out| {
            forward(
                &x[i * block..][..out.len()],
                &mean,
                &inverse,
                &gamma,
                &beta,
                relu,
                out,
            );
        });
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        let out = unsafe { out.into_tensor() };
        (out, tensor(mean, [width]), tensor(variance, [width]))
    }
}

impl BatchNormBackward for Flex {
    fn batch_norm_backward(saved: Saved<FlexTensor>, grad: FlexTensor) -> [FlexTensor; 3] {
        let Saved { eps, relu, .. } = saved;
        let [x, gamma, beta] = [saved.x, saved.gamma, saved.beta].map(Values::of);
        let [mean, variance, grad] = [saved.mean, saved.variance, grad].map(Values::of);
        let [rows, width] = x.dims();
        let inverse = inverse_deviations(&variance, rows, eps);
        let columns = Columns {
            mean: &mean,
            inverse: &inverse,
            gamma: &gamma,
            beta: &beta,
            relu,
        };

        let parts = map_ranges(rows, block_rows(width).max(LEAST_ROWS), |rows| {
            let here = rows.start * width..rows.end * width;
            let mut sums = vec![0.0; 2 * width];
            parameter_gradients(&x[here.clone()], &grad[here], columns, &mut sums);
            sums
        });
        let mut dgamma = sum_in_order(parts, 2 * width);
        let dbeta = dgamma.split_off(width);

        let [mean_product, mean_grad] =
            [&dgamma, &dbeta].map(|sum| sum.iter().map(|s| s / rows as f32).collect::<Vec<_>>());
        let block = block_rows(width) * width;
        let mut dx = Output::new([rows, width]);
        map_blocks(dx.slots(), block, |i, dx| {
            let here = i * block..i * block + dx.len();
            input_gradient(
                &x[here.clone()],
                &grad[here],
                columns,
                &mean_product,
                &mean_grad,
                dx,
            );
        });
        // SAFETY: the blocks cover the output, and the kernel writes every row of a block.
        let dx = unsafe { dx.into_tensor() };
        [dx, tensor(dgamma, [width]), tensor(dbeta, [width])]
    }
}

/// Mean and unbiased variance of each column: two passes over a block while it is in the cache, then
/// the blocks joined in order by Chan, Golub and LeVeque's rule.
fn column_moments(x: &[f32], rows: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
    let parts = map_ranges(rows, block_rows(width).max(LEAST_ROWS), |rows| {
        let mut mean = vec![0.0; width];
        let mut squares = vec![0.0; width];
        block_moments(
            &x[rows.start * width..rows.end * width],
            &mut mean,
            &mut squares,
        );
        (rows.len() as f64, mean, squares)
    });
    let mut seen = 0.0;
    let mut joined = vec![(0.0f64, 0.0f64); width];
    for (count, means, squares) in parts {
        let total = seen + count;
        for ((joined, mean), square) in joined.iter_mut().zip(means).zip(squares) {
            let shift = mean - joined.0;
            joined.0 += shift * count / total;
            joined.1 += square + shift * shift * seen * count / total;
        }
        seen = total;
    }
    let divisor = (seen - 1.0).max(1.0);
    joined
        .into_iter()
        .map(|(mean, squares)| (mean as f32, (squares / divisor) as f32))
        .unzip()
}

/// The inverses of the biased deviations, from the unbiased variances of `rows` rows.
fn inverse_deviations(variance: &[f32], rows: usize, eps: f32) -> Vec<f32> {
    let bias = (rows - 1) as f32 / rows as f32;
    variance
        .iter()
        .map(|v| 1.0 / (v * bias + eps).sqrt())
        .collect()
}

multiversion! {
    /// The columns' means and sums of squared deviations over one block.
    fn block_moments<const FMA: bool>(x: &[f32], mean: &mut [f64], squares: &mut [f64]) {
        let width = mean.len();
        let count = (x.len() / width) as f64;
        // Sums of differences from the first row: those of the numbers would lose what a large mean
        // leaves no digits for.
        let first = &x[..width];
        let mut sums = vec![0.0f32; width];
        for run in x.chunks(RUN * width) {
            for row in run.chunks_exact(width) {
                for ((sum, &v), &f) in sums.iter_mut().zip(row).zip(first) {
                    *sum += v - f;
                }
            }
            flush(&mut sums, mean);
        }
        mean.iter_mut().zip(first).for_each(|(m, f)| *m = f64::from(*f) + *m / count);
        let centre: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        for run in x.chunks(RUN * width) {
            for row in run.chunks_exact(width) {
                for ((sum, &v), &c) in sums.iter_mut().zip(row).zip(&centre) {
                    *sum = mul_add::<FMA>(v - c, v - c, *sum);
                }
            }
            flush(&mut sums, squares);
        }
    }
}

/// Adds a run's sums to the block's, and begins the next run's.
#[inline(always)]
fn flush(run: &mut [f32], block: &mut [f64]) {
    for (block, run) in block.iter_mut().zip(run) {
        *block += f64::from(std::mem::take(run));
    }
}

multiversion! {
    fn forward<const FMA: bool>(
        x: &[f32],
        mean: &[f32],
        inverse: &[f32],
        gamma: &[f32],
        beta: &[f32],
        relu: bool,
        out: &mut [Slot],
    ) {
        let width = mean.len();
        let columns = Columns { mean, inverse, gamma, beta, relu };
        for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            for k in 0..width {
                let (_, value) = columns.normalised::<FMA>(k, row[k]);
                out[k].write(if relu && value <= 0.0 { 0.0 } else { value });
            }
        }
    }
}

/// The numbers that belong to the columns.
#[derive(Clone, Copy)]
struct Columns<'a> {
    mean: &'a [f32],
    inverse: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    relu: bool,
}

impl Columns<'_> {
    /// The normalised number, and the output before ReLU: the same sums forward and backward, so that
    /// both see the same sign.
    #[inline(always)]
    fn normalised<const FMA: bool>(&self, k: usize, value: f32) -> (f32, f32) {
        let normal = (value - self.mean[k]) * self.inverse[k];
        (normal, mul_add::<FMA>(normal, self.gamma[k], self.beta[k]))
    }

    /// The normalised number, and the gradient that ReLU lets through.
    #[inline(always)]
    fn masked<const FMA: bool>(&self, k: usize, value: f32, grad: f32) -> (f32, f32) {
        let (normal, out) = self.normalised::<FMA>(k, value);
        (normal, if self.relu && out <= 0.0 { 0.0 } else { grad })
    }
}

multiversion! {
    /// The sums of gamma's gradient over one block, and behind them those of beta's.
    fn parameter_gradients<const FMA: bool>(
        x: &[f32],
        grad: &[f32],
        columns: Columns<'_>,
        sums: &mut [f64],
    ) {
        let width = sums.len() / 2;
        let mut run_sums = vec![0.0f32; 2 * width];
        for (x, grad) in x.chunks(RUN * width).zip(grad.chunks(RUN * width)) {
            let (dgamma, dbeta) = run_sums.split_at_mut(width);
            for (row, grad) in x.chunks_exact(width).zip(grad.chunks_exact(width)) {
                for k in 0..width {
                    let (normal, grad) = columns.masked::<FMA>(k, row[k], grad[k]);
                    dgamma[k] = mul_add::<FMA>(grad, normal, dgamma[k]);
                    dbeta[k] += grad;
                }
            }
            flush(&mut run_sums, sums);
        }
    }
}

multiversion! {
    fn input_gradient<const FMA: bool>(
        x: &[f32],
        grad: &[f32],
        columns: Columns<'_>,
        mean_product: &[f32],
        mean_grad: &[f32],
        dx: &mut [Slot],
    ) {
        let width = mean_grad.len();
        let rows = x.chunks_exact(width).zip(grad.chunks_exact(width));
        for ((row, grad), dx) in rows.zip(dx.chunks_exact_mut(width)) {
            for k in 0..width {
                let (normal, grad) = columns.masked::<FMA>(k, row[k], grad[k]);
                let centred = mul_add::<FMA>(-normal, mean_product[k], grad) - mean_grad[k];
                dx[k].write(centred * columns.gamma[k] * columns.inverse[k]);
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: BatchNormBackward> Backward<B, 3> for Step {
    type State = Saved<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradients = B::batch_norm_backward(ops.state, grads.consume::<B>(&ops.node));
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(parent) = parent {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

impl<B: BatchNormBackward, C: CheckpointStrategy> BatchNorm for Autodiff<B, C> {
    fn fused_batch_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        eps: f32,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), gamma.node(), beta.node()];
        let [x, gamma, beta] = [x, gamma, beta].map(|t| t.into_primitive());
        let (out, mean, variance) =
            B::fused_batch_norm(x.clone(), gamma.clone(), beta.clone(), eps, relu);
        let statistics = [mean.clone(), variance.clone()].map(FloatTensor::<Self>::new);
        let out = record::<C, _, _, _>(Step, nodes, out, || Saved {
            x,
            gamma,
            beta,
            mean,
            variance,
            eps,
            relu,
        });
        let [mean, variance] = statistics;
        (out, mean, variance)
    }
}
