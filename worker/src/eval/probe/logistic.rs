//! Multinomial logistic regression with an L2 penalty: scikit-learn's `LogisticRegression`.

use super::lbfgs::{self, Stop};
use crate::eval::model::matrix;
use twinspan_model::{Device, Tensor, to_vec};

/// Rows that are scored at once.
const BLOCK: usize = 4096;
/// The slope, of the mean loss, below which the fit is at its end: a tenth of scikit-learn's.
const SLOPE: f64 = 1e-5;

/// How to fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProbeSettings {
    /// scikit-learn's C: the penalty is half the squared weights, divided by C times the samples.
    pub c: f64,
    /// Steps at most.
    pub iterations: u64,
}

/// Weights that separate classes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Separator {
    /// Row by row [classes, e + 1]: a class's weights and its intercept.
    weights: Vec<f64>,
    e: usize,
    pub(super) iterations: u64,
    /// Whether the lowest loss was reached before the steps were used up.
    pub(super) converged: bool,
}

/// Fits on rows [n, e] with their labels below `classes`, at least two; every class has a row. `each`
/// hears of every step.
pub(super) fn fit(
    rows_ne: &[f32],
    labels: &[usize],
    classes: usize,
    e: usize,
    settings: ProbeSettings,
    each: &dyn Fn(u64),
) -> Separator {
    let samples = labels.len() as f64;
    // Of two classes scikit-learn penalises the difference of their weights, of which each has half.
    let doubled = if classes == 2 { 2.0 } else { 1.0 };
    let penalty = doubled / (settings.c * samples);
    let device = Device::flex();
    let blocks: Vec<Tensor<2>> = rows_ne
        .chunks(BLOCK * e)
        .map(|rows| matrix(rows, e, &device))
        .collect();
    let function = |weights: &[f64]| {
        let mut value = 0.0;
        let mut gradient = vec![0.0; weights.len()];
        let weights_ce = slopes(weights, e);
        let weights_ec = matrix(&weights_ce, e, &device).transpose();
        for (rows_be, labels_b) in blocks.iter().zip(labels.chunks(BLOCK)) {
            let mut scores_bc = to_vec(rows_be.clone().matmul(weights_ec.clone()));
            for (scores_c, label) in scores_bc.chunks_mut(classes).zip(labels_b) {
                value += residuals(scores_c, weights, e, *label, &mut gradient);
            }
            let residuals_bc = matrix(&scores_bc, classes, &device);
            let gradient_ce = to_vec(residuals_bc.transpose().matmul(rows_be.clone()));
            for (of_class, part_e) in gradient.chunks_mut(e + 1).zip(gradient_ce.chunks(e)) {
                let pairs = of_class.iter_mut().zip(part_e);
                pairs.for_each(|(sum, part)| *sum += f64::from(*part));
            }
        }
        value /= samples;
        gradient.iter_mut().for_each(|slope| *slope /= samples);
        for (of_class, weights) in gradient.chunks_mut(e + 1).zip(weights.chunks(e + 1)) {
            for (slope, weight) in of_class.iter_mut().zip(&weights[..e]) {
                value += 0.5 * penalty * weight * weight;
                *slope += penalty * weight;
            }
        }
        (value, gradient)
    };
    let stop = Stop {
        slope: SLOPE,
        iterations: settings.iterations,
    };
    let lowest = lbfgs::minimise(function, vec![0.0; classes * (e + 1)], stop, each);
    Separator {
        converged: lowest.slope <= SLOPE || lowest.iterations < settings.iterations,
        iterations: lowest.iterations,
        weights: lowest.at,
        e,
    }
}

impl Separator {
    /// Hands the scores [classes] of each row of [n, e] to `each`: the larger, the likelier.
    pub(super) fn score(&self, rows_ne: &[f32], mut each: impl FnMut(&[f32])) {
        let device = Device::flex();
        let classes = self.weights.len() / (self.e + 1);
        let weights_ec = matrix(&slopes(&self.weights, self.e), self.e, &device).transpose();
        for rows in rows_ne.chunks(BLOCK * self.e) {
            let rows_be = matrix(rows, self.e, &device);
            let mut scores_bc = to_vec(rows_be.matmul(weights_ec.clone()));
            for scores_c in scores_bc.chunks_mut(classes) {
                let of_class = scores_c.iter_mut().zip(self.weights.chunks(self.e + 1));
                of_class.for_each(|(score, weights)| *score += weights[self.e] as f32);
                each(scores_c);
            }
        }
    }
}

/// Turns one row's scores without intercepts into the slopes of its loss along them, adds these to
/// the intercepts' gradient, and gives the loss.
fn residuals(
    scores_c: &mut [f32],
    weights: &[f64],
    e: usize,
    label: usize,
    gradient: &mut [f64],
) -> f64 {
    let intercepts = weights.chunks(e + 1).map(|weights| weights[e]);
    let scores = scores_c.iter().zip(intercepts);
    let scores: Vec<f64> = scores
        .map(|(score, intercept)| f64::from(*score) + intercept)
        .collect();
    let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
    let log_sum = largest + sum.ln();
    for (class, (slot, score)) in scores_c.iter_mut().zip(&scores).enumerate() {
        let right = if class == label { 1.0 } else { 0.0 };
        let residual = (score - log_sum).exp() - right;
        gradient[class * (e + 1) + e] += residual;
        *slot = residual as f32;
    }
    log_sum - scores[label]
}

/// The weights without the intercepts, [classes, e].
fn slopes(weights: &[f64], e: usize) -> Vec<f32> {
    let of_classes = weights.chunks(e + 1).flat_map(|weights| &weights[..e]);
    of_classes.map(|weight| *weight as f32).collect()
}
