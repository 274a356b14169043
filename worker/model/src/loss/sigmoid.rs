//! The pairwise sigmoid loss (SigLIP, Zhai et al. 2023): with l_ij = s x_i.y_j + b, and z = 1 on the
//! diagonal and -1 off it, `L = -1/N sum_ij log sigmoid(z_ij l_ij)`. It is the same path as the
//! softmax loss without log-sum-exps: a row needs no other row's sums.

use super::{ContrastiveBatch, LossGradients, RowSum, blocks, rows_of};
use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use std::cell::RefCell;
use std::ops::Range;

impl ContrastiveBatch<'_> {
    /// What the rank's own image rows add to N times the loss, `[own]`, given the logit bias.
    #[must_use]
    pub fn sigmoid_losses(&self, bias: f32) -> Tensor<1> {
        let [n, _] = self.x_ne.dims();
        let mut losses = Vec::new();
        for rows in blocks(self.own.clone(), self.tile) {
            let x_re = rows_of(&self.x_ne, &rows);
            let positives_r1 = super::dot_rows(x_re.clone(), rows_of(&self.y_ne, &rows));
            let mut sum_r1 = (positives_r1.mul_scalar(self.scale) + bias).neg();
            for columns in blocks(0..n, self.tile) {
                let logits_rc = self.logits(&x_re, &self.y_ne, &rows, &columns) + bias;
                sum_r1 = sum_r1 + softplus(logits_rc).sum_dim(1);
            }
            losses.push(sum_r1.squeeze_dim(1));
        }
        Tensor::cat(losses, 0)
    }

    /// The exact gradient of the rank's own embeddings: `P_ij = sigmoid(l_ij) - [i = j]`,
    /// `dL/dx_i = s/N sum_j P_ij y_j`, `dL/dy_j = s/N sum_i P_ij x_i`.
    #[must_use]
    pub fn sigmoid_gradients(&self, bias: f32) -> LossGradients {
        let [n, _] = self.x_ne.dims();
        let weights = |logits_rc: Tensor<2>| sigmoid(logits_rc + bias);
        let factor = f64::from(self.scale) / n as f64;
        // sum_j P_ij of the own image rows i, tile by tile.
        let totals = RefCell::new(Vec::new());
        let image = self.pulls(&self.x_ne, &self.y_ne, -1.0, factor, |_| {
            |logits_rc, _: &Range<usize>| {
                let p_rc = weights(logits_rc);
                let total_r1: Tensor<2> = p_rc.clone().sum_dim(1);
                totals.borrow_mut().push(total_r1.squeeze_dim(1));
                p_rc
            }
        });
        let text = self.pulls(&self.y_ne, &self.x_ne, -1.0, factor, |_| {
            |logits_rc, _: &Range<usize>| weights(logits_rc)
        });
        LossGradients {
            logit_scale: RowSum {
                rows: image.along,
                offset: 0.0,
                factor,
            },
            logit_bias: Some(RowSum {
                rows: Tensor::cat(totals.into_inner(), 0),
                // The diagonal takes one a row.
                offset: -(self.own.len() as f64),
                factor: 1.0 / n as f64,
            }),
            image: image.gradient,
            text: text.gradient,
        }
    }
}

/// `log(1 + exp(x))` that no x overflows.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    relu(x.clone()) + x.abs().neg().exp().log1p()
}
