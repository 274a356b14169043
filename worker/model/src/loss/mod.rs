//! The full-batch contrastive loss, computed by rows and tiles.
//!
//! N samples in the global batch, unit image rows x and text rows y of width e, s = exp(logit
//! scale). A rank holds the rows `own`, forms their log-sum-exps, exchanges 2 N numbers, and forms
//! the exact gradient of its own embeddings. No N x N matrix exists anywhere, and no gradient of an
//! embedding crosses the network (Radford et al. 2021, section 2.3, in the row-wise form of
//! DisCo-CLIP and open_clip's local loss, with the other direction's sums exchanged instead of
//! recomputed).

mod duplicates;
mod sigmoid;
#[cfg(test)]
mod tests;

pub use duplicates::Duplicates;

use burn::tensor::{Tensor, TensorData};
use std::ops::Range;

/// The log-sum-exps of image rows (over texts) and text rows (over images).
#[derive(Debug, Clone, PartialEq)]
pub struct LogSumExps {
    /// `lI_i = logsumexp_j s x_i.y_j`.
    pub image: Vec<f32>,
    /// `lT_j = logsumexp_i s x_i.y_j`.
    pub text: Vec<f32>,
}

/// What one rank adds to the gradient of the global mean loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LossGradients {
    /// dL/dx of the rank's image rows, [own, e].
    pub image: Vec<f32>,
    /// dL/dy of the rank's text rows, [own, e].
    pub text: Vec<f32>,
    /// The rank's part of dL/d(logit scale); the ranks' parts add up to the whole.
    pub logit_scale: f32,
    /// The rank's part of dL/d(logit bias); nothing moves it in the softmax loss.
    pub logit_bias: f32,
}

/// What the own rows of one side give.
struct Pulls {
    /// `factor sum_j P_ij b_j`, [own, e].
    gradient: Vec<f32>,
    /// `sum_i a_i . sum_j P_ij b_j`.
    along: f64,
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

    /// The loss of the global batch from all ranks' log-sum-exps, each of length N.
    #[must_use]
    pub fn loss(&self, all: &LogSumExps) -> f64 {
        let [n, _] = self.x_ne.dims();
        let sums = all
            .image
            .iter()
            .chain(&all.text)
            .map(|l| f64::from(*l))
            .sum::<f64>();
        let positives: f64 = blocks(0..n, self.tile)
            .flat_map(|rows| {
                to_vec(dot_rows(
                    rows_of(&self.x_ne, &rows),
                    rows_of(&self.y_ne, &rows),
                ))
            })
            .map(f64::from)
            .sum();
        (sums - 2.0 * f64::from(self.scale) * positives) / (2.0 * n as f64)
    }

    /// The exact gradient of the rank's own embeddings, from all ranks' log-sum-exps.
    #[must_use]
    pub fn gradients(&self, all: &LogSumExps) -> LossGradients {
        let [n, _] = self.x_ne.dims();
        let factor = f64::from(self.scale) / (2.0 * n as f64);
        let device = self.x_ne.device();
        let tensor =
            |sums: &[f32], shape: [usize; 2]| Tensor::<1>::from_data(sums, &device).reshape(shape);
        let side = |a_ne, b_ne, row_sums: &[f32], column_sums: &[f32]| {
            self.pulls(a_ne, b_ne, -2.0, factor, |rows| {
                let row_sums_r1 = tensor(&row_sums[rows.clone()], [rows.len(), 1]);
                let of_columns = |columns: &Range<usize>| {
                    tensor(&column_sums[columns.clone()], [1, columns.len()])
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
            logit_scale: (image.along * factor) as f32,
            logit_bias: 0.0,
            image: image.gradient,
            text: text.gradient,
        }
    }

    /// `logsumexp_j s a_i.b_j` of the own rows i, with a running maximum and sum over tiles.
    fn row_log_sum_exps(&self, a_ne: &Tensor<2>, b_ne: &Tensor<2>) -> Vec<f32> {
        let [n, _] = a_ne.dims();
        let mut sums = Vec::with_capacity(self.own.len());
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
                sums.extend(to_vec(max_r1 + sum_r1.log()));
            }
        }
        sums
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
        let mut pulls = Pulls {
            gradient: Vec::with_capacity(self.own.len() * e),
            along: 0.0,
        };
        for rows in blocks(self.own.clone(), self.tile) {
            let a_re = rows_of(a_ne, &rows);
            let weights = weights(&rows);
            let mut pull_re = rows_of(b_ne, &rows).mul_scalar(diagonal);
            for columns in blocks(0..n, self.tile) {
                let logits_rc = self.logits(&a_re, b_ne, &rows, &columns);
                let p_rc = weights(logits_rc, &columns);
                pull_re = pull_re + p_rc.matmul(rows_of(b_ne, &columns));
            }
            pulls.along += sum(dot_rows(a_re, pull_re.clone()));
            pulls.gradient.extend(to_vec(pull_re.mul_scalar(factor)));
        }
        pulls
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
        let logits_rc = a_re.clone().matmul(b_ce.transpose()).mul_scalar(self.scale);
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

fn sum(t_r1: Tensor<2>) -> f64 {
    to_vec(t_r1).into_iter().map(f64::from).sum()
}

fn to_vec(t: Tensor<2>) -> Vec<f32> {
    t.into_data()
        .try_into_vec::<f32>()
        .expect("the loss is computed in f32")
}
