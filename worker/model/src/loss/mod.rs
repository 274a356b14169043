//! The full-batch contrastive loss, computed by rows and tiles.
//!
//! N samples in the global batch, unit image rows x and text rows y of width e, s = exp(logit
//! scale). A rank holds the rows `own`, forms their log-sum-exps, exchanges 2 N numbers, and forms
//! the exact gradient of its own embeddings. No N x N matrix exists anywhere, and no gradient of an
//! embedding crosses the network (Radford et al. 2021, section 2.3, in the row-wise form of
//! DisCo-CLIP and open_clip's local loss, with the other direction's sums exchanged instead of
//! recomputed).

mod duplicates;
mod rows;
mod sigmoid;
#[cfg(test)]
mod tests;

pub use duplicates::Duplicates;

use burn::tensor::{Tensor, TensorData};
use std::ops::Range;

use self::rows::Rows;
use crate::flat::to_vec;
use crate::ops::{exact_product, total};

/// The log-sum-exps of image rows (over texts) and text rows (over images).
#[derive(Debug, Clone)]
pub struct LogSumExps {
    /// `lI_i = logsumexp_j s x_i.y_j`, `[rows]`.
    pub image: Tensor<1>,
    /// `lT_j = logsumexp_i s x_i.y_j`, `[rows]`.
    pub text: Tensor<1>,
}

/// What one rank adds to the gradient of the global mean loss.
#[derive(Debug, Clone)]
pub struct LossGradients {
    /// dL/dx of the rank's image rows, [own, e].
    pub image: Tensor<2>,
    /// dL/dy of the rank's text rows, [own, e].
    pub text: Tensor<2>,
    /// What the rank's image rows add to dL/d(logit scale), `[own]`; all ranks' rows add up to the
    /// whole.
    pub logit_scale: RowSum,
    /// The same of dL/d(logit bias); none in the softmax loss, which has no bias.
    pub logit_bias: Option<RowSum>,
}

/// A number that is the sum of one number a row, to be summed where it is needed: on the host in f64,
/// or on the device without waiting for it.
#[derive(Debug, Clone)]
pub struct RowSum {
    rows: Tensor<1>,
    /// What is added to the sum, and what the whole is multiplied with.
    offset: f64,
    factor: f64,
}

impl RowSum {
    /// The number, in host memory.
    #[must_use]
    pub fn on_host(&self) -> f32 {
        let sum: f64 = to_vec(self.rows.clone()).into_iter().map(f64::from).sum();
        ((sum + self.offset) * self.factor) as f32
    }

    /// The number, `[1]`, on the device.
    #[must_use]
    pub fn on_device(&self) -> Tensor<1> {
        let sum = total(self.rows.clone()).add_scalar(self.offset);
        sum.mul_scalar(self.factor)
    }
}

/// What the loss is summed from, `[terms]`, and how.
#[derive(Debug, Clone)]
pub struct LossTerms {
    /// One number each.
    pub terms: Tensor<1>,
    /// How many of the last are positives.
    positives: usize,
    /// What they are multiplied with.
    scale: f64,
    /// What the sum is divided by.
    divisor: f64,
}

impl LossTerms {
    /// The loss, from the terms' numbers.
    #[must_use]
    pub fn loss(&self, numbers: &[f32]) -> f64 {
        let (sums, positives) = numbers.split_at(numbers.len() - self.positives);
        let sum = |numbers: &[f32]| numbers.iter().map(|n| f64::from(*n)).sum::<f64>();
        (sum(sums) + self.scale * sum(positives)) / self.divisor
    }

    /// The mean of the global batch's `losses`, `[N]`.
    #[must_use]
    pub fn mean(losses: Tensor<1>) -> Self {
        let [n] = losses.dims();
        Self {
            terms: losses,
            positives: 0,
            scale: 0.0,
            divisor: n as f64,
        }
    }
}

/// What the own rows of one side give.
struct Pulls {
    /// `factor sum_j P_ij b_j`, [own, e].
    gradient: Tensor<2>,
    /// `a_i . sum_j P_ij b_j`, [own].
    along: Tensor<1>,
}

/// The global batch as one rank sees it after the all-gather.
pub struct ContrastiveBatch<'b> {
    /// Image embeddings of all ranks, unit rows, [N, e].
    pub x_ne: Tensor<2>,
    /// Text embeddings of all ranks, unit rows, [N, e].
    pub y_ne: Tensor<2>,
    /// The rows that this rank holds.
    pub own: Range<usize>,
    /// exp of the learned temperature.
    pub scale: f32,
    /// Rows and columns of one tile.
    pub tile: usize,
    /// Rows that hold the same sample and are no negatives of each other.
    pub duplicates: &'b Duplicates,
}

impl ContrastiveBatch<'_> {
    /// The log-sum-exps of the rank's own rows.
    #[must_use]
    pub fn log_sum_exps(&self) -> LogSumExps {
        LogSumExps {
            image: self.row_log_sum_exps(&self.x_ne, &self.y_ne),
            text: self.row_log_sum_exps(&self.y_ne, &self.x_ne),
        }
    }

    /// What the loss of the global batch is summed from, from all ranks' log-sum-exps, each of length
    /// N.
    #[must_use]
    pub fn loss_terms(&self, all: &LogSumExps) -> LossTerms {
        let [n, _] = self.x_ne.dims();
        let mut terms = vec![all.image.clone(), all.text.clone()];
        for rows in blocks(0..n, self.tile) {
            let of_rows = |t_ne| rows_of(t_ne, &rows);
            terms.push(dot_rows(of_rows(&self.x_ne), of_rows(&self.y_ne)).squeeze_dim(1));
        }
        LossTerms {
            terms: Tensor::cat(terms, 0),
            positives: n,
            scale: -2.0 * f64::from(self.scale),
            divisor: 2.0 * n as f64,
        }
    }

    /// The exact gradient of the rank's own embeddings, from all ranks' log-sum-exps.
    #[must_use]
    pub fn gradients(&self, all: &LogSumExps) -> LossGradients {
        let [n, _] = self.x_ne.dims();
        let factor = f64::from(self.scale) / (2.0 * n as f64);
        let side = |a_ne, b_ne, row_sums: &Tensor<1>, column_sums: &Tensor<1>| {
            self.pulls(a_ne, b_ne, -2.0, factor, |rows| {
                let row_sums_r1: Tensor<2> = row_sums.clone().slice(rows.clone()).unsqueeze_dim(1);
                let of_columns = |columns: &Range<usize>| -> Tensor<2> {
                    column_sums.clone().slice(columns.clone()).unsqueeze_dim(0)
                };
                move |logits_rc: Tensor<2>, columns: &Range<usize>| {
                    (logits_rc.clone() - row_sums_r1.clone()).exp()
                        + (logits_rc - of_columns(columns)).exp()
                }
            })
        };
        let image = side(&self.x_ne, &self.y_ne, &all.image, &all.text);
        let text = side(&self.y_ne, &self.x_ne, &all.text, &all.image);
        LossGradients {
            // dL/ds counts every pair once, on the side of its image row; d s / d logit_scale = s.
            logit_scale: RowSum {
                rows: image.along,
                offset: 0.0,
                factor,
            },
            logit_bias: None,
            image: image.gradient,
            text: text.gradient,
        }
    }

    /// `logsumexp_j s a_i.b_j` of the own rows i, with a running maximum and sum over tiles.
    fn row_log_sum_exps(&self, a_ne: &Tensor<2>, b_ne: &Tensor<2>) -> Tensor<1> {
        let [n, _] = a_ne.dims();
        let mut sums = Vec::new();
        for rows in blocks(self.own.clone(), self.tile) {
            let a_re = rows_of(a_ne, &rows);
            let mut running: Option<(Tensor<2>, Tensor<2>)> = None;
            for columns in blocks(0..n, self.tile) {
                let logits_rc = self.logits(&a_re, b_ne, &rows, &columns);
                let tile_max_r1 = logits_rc.clone().max_dim(1);
                running = Some(match running {
                    None => {
                        let sum_r1 = (logits_rc - tile_max_r1.clone()).exp().sum_dim(1);
                        (tile_max_r1, sum_r1)
                    }
                    Some((max_r1, sum_r1)) => {
                        let new_max_r1 = max_r1.clone().max_pair(tile_max_r1);
                        let carried_r1 = sum_r1 * (max_r1 - new_max_r1.clone()).exp();
                        let tile_r1 = (logits_rc - new_max_r1.clone()).exp().sum_dim(1);
                        (new_max_r1, carried_r1 + tile_r1)
                    }
                });
            }
            if let Some((max_r1, sum_r1)) = running {
                sums.push((max_r1 + sum_r1.log()).squeeze_dim(1));
            }
        }
        Tensor::cat(sums, 0)
    }

    /// `sum_j P_ij b_j` of the own rows i, where P is `weights` of some rows, of the logits and
    /// their columns, and `diagonal` is added to it where i = j.
    fn pulls<W: Fn(Tensor<2>, &Range<usize>) -> Tensor<2>>(
        &self,
        a_ne: &Tensor<2>,
        b_ne: &Tensor<2>,
        diagonal: f32,
        factor: f64,
        weights: impl Fn(&Range<usize>) -> W,
    ) -> Pulls {
        let [n, e] = a_ne.dims();
        let mut gradient = Rows::new([self.own.len(), e], &a_ne.device());
        let mut along = Vec::new();
        for rows in blocks(self.own.clone(), self.tile) {
            let a_re = rows_of(a_ne, &rows);
            let weights = weights(&rows);
            let mut pull_re = rows_of(b_ne, &rows).mul_scalar(diagonal);
            for columns in blocks(0..n, self.tile) {
                let logits_rc = self.logits(&a_re, b_ne, &rows, &columns);
                let p_rc = weights(logits_rc, &columns);
                pull_re = pull_re + exact_product(p_rc, rows_of(b_ne, &columns));
            }
            along.push(dot_rows(a_re, pull_re.clone()).squeeze_dim(1));
            gradient.push(pull_re.mul_scalar(factor));
        }
        Pulls {
            gradient: gradient.whole(),
            along: Tensor::cat(along, 0),
        }
    }

    /// `s a_i.b_j` of one tile; a pair of rows that hold the same sample gets a logit whose
    /// exponential is 0.
    fn logits(
        &self,
        a_re: &Tensor<2>,
        b_ne: &Tensor<2>,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Tensor<2> {
        let b_ce = rows_of(b_ne, columns);
        let logits_rc = exact_product(a_re.clone(), b_ce.transpose()).mul_scalar(self.scale);
        match self.duplicates.mask(rows, columns) {
            None => logits_rc,
            Some(mask) => {
                let mask = TensorData::new(mask, [rows.len(), columns.len()]);
                logits_rc + Tensor::from_data(mask, &a_re.device())
            }
        }
    }
}

/// Consecutive ranges of at most `tile`.
fn blocks(range: Range<usize>, tile: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range
        .step_by(tile)
        .map(move |first| first..end.min(first + tile))
}

fn rows_of(t_ne: &Tensor<2>, rows: &Range<usize>) -> Tensor<2> {
    t_ne.clone().slice([rows.clone()])
}

/// Row-wise inner products, [r, 1].
fn dot_rows(a_re: Tensor<2>, b_re: Tensor<2>) -> Tensor<2> {
    (a_re * b_re).sum_dim(1)
}
