//! The full-batch contrastive loss with the whole N x N matrix in memory.

use super::tensor::{Tensor, add_scaled, dot};

/// The loss of one global batch and its gradients.
pub struct ContrastiveLoss {
    /// Mean cross entropy over both directions, in nats.
    pub loss: f64,
    /// Of the unit image rows, `[N, e]`.
    pub dx: Tensor,
    /// Of the unit text rows, `[N, e]`.
    pub dy: Tensor,
    /// Of the scale s itself; the parameter `logit_scale` = ln s has `ds * s`.
    pub ds: f64,
}

/// Loss of image rows x `[N, e]` and text rows y `[N, e]` at scale s, where row i
/// of x belongs to row i of y and to no other.
#[must_use]
pub fn contrastive_loss(x: &Tensor, y: &Tensor, s: f64) -> ContrastiveLoss {
    assert_eq!(x.shape, y.shape, "one text for each image");
    let [n, _] = x.dims();
    let cosine = |i: usize, j: usize| dot(x.row(i), y.row(j));
    let log_sums_image: Vec<f64> = (0..n)
        .map(|i| log_sum_exp(&(0..n).map(|j| s * cosine(i, j)).collect::<Vec<_>>()))
        .collect();
    let log_sums_text: Vec<f64> = (0..n)
        .map(|j| log_sum_exp(&(0..n).map(|i| s * cosine(i, j)).collect::<Vec<_>>()))
        .collect();

    let half_mean = 1.0 / (2 * n) as f64;
    let mut out = ContrastiveLoss {
        loss: 0.0,
        dx: Tensor::zeros(&x.shape),
        dy: Tensor::zeros(&y.shape),
        ds: 0.0,
    };
    for i in 0..n {
        out.loss += half_mean * (log_sums_image[i] + log_sums_text[i] - 2.0 * s * cosine(i, i));
        for j in 0..n {
            let logit = s * cosine(i, j);
            let target = if i == j { 2.0 } else { 0.0 };
            let p = (logit - log_sums_image[i]).exp() + (logit - log_sums_text[j]).exp() - target;
            add_scaled(out.dx.row_mut(i), s * half_mean * p, y.row(j));
            add_scaled(out.dy.row_mut(j), s * half_mean * p, x.row(i));
            out.ds += half_mean * p * cosine(i, j);
        }
    }
    out
}

fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}

/// Every row of u `[N, e]` over its Euclidean norm.
#[must_use]
pub fn normalise(u: &Tensor) -> Tensor {
    let mut x = u.clone();
    for r in 0..x.rows() {
        let norm = dot(u.row(r), u.row(r)).sqrt();
        for value in x.row_mut(r) {
            *value /= norm;
        }
    }
    x
}

/// Gradient of u from that of x = [`normalise`]\(u): (dx - x (x·dx)) / |u|.
#[must_use]
pub fn normalise_backward(u: &Tensor, dx: &Tensor) -> Tensor {
    let x = normalise(u);
    let mut du = dx.clone();
    for r in 0..u.rows() {
        let norm = dot(u.row(r), u.row(r)).sqrt();
        let along = dot(x.row(r), dx.row(r));
        add_scaled(du.row_mut(r), -along, x.row(r));
        for value in du.row_mut(r) {
            *value /= norm;
        }
    }
    du
}

#[cfg(test)]
mod tests {
    use super::{contrastive_loss, normalise, normalise_backward};
    use crate::random::Rng;
    use crate::reference::finite::{assert_gradient, slope};
    use crate::reference::tensor::{Tensor, dot};

    fn pair() -> (Tensor, Tensor) {
        let mut rng = Rng::new(12);
        let [x, y] = [0; 2].map(|_| normalise(&Tensor::random(&[5, 3], 1.0, &mut rng)));
        (x, y)
    }

    #[test]
    fn loss_gradients_agree_with_finite_differences() {
        let (x, y) = pair();
        let s = 7.0;
        let out = contrastive_loss(&x, &y, s);
        assert_gradient("x", &x, &out.dx, |x| contrastive_loss(x, &y, s).loss);
        assert_gradient("y", &y, &out.dy, |y| contrastive_loss(&x, y, s).loss);
        let ds = slope(|delta| contrastive_loss(&x, &y, s + delta).loss);
        assert!((out.ds - ds).abs() < 1e-9 * ds.abs(), "{} {ds}", out.ds);
    }

    #[test]
    fn the_loss_is_the_mean_cross_entropy_of_both_directions() {
        let (x, y) = pair();
        let s = 3.0;
        let n = 5;
        let mut expected = 0.0;
        for i in 0..n {
            let logit = |a: usize, b: usize| (s * dot(x.row(a), y.row(b))).exp();
            let of_image: f64 = (0..n).map(|j| logit(i, j)).sum();
            let of_text: f64 = (0..n).map(|j| logit(j, i)).sum();
            expected -= (logit(i, i) / of_image).ln() + (logit(i, i) / of_text).ln();
        }
        let loss = contrastive_loss(&x, &y, s).loss;
        assert!((loss - expected / 10.0).abs() < 1e-14);
    }

    #[test]
    fn equal_embeddings_have_the_loss_of_chance_and_no_gradient_of_the_scale() {
        let row = [0.6, 0.8];
        let x = Tensor::new(&[4, 2], row.repeat(4));
        let out = contrastive_loss(&x, &x, 20.0);
        assert!((out.loss - 4f64.ln()).abs() < 1e-13);
        assert!(out.ds.abs() < 1e-13);
    }

    #[test]
    fn a_large_scale_overflows_nothing() {
        let (x, y) = pair();
        let out = contrastive_loss(&x, &y, 1e4);
        assert!(out.loss.is_finite() && out.ds.is_finite());
    }

    #[test]
    fn normalisation_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(13);
        let u = Tensor::random(&[3, 4], 2.0, &mut rng);
        let dx = Tensor::random(&[3, 4], 1.0, &mut rng);
        let du = normalise_backward(&u, &dx);
        assert_gradient("u", &u, &du, |u| dot(&normalise(u).data, &dx.data));
    }
}
