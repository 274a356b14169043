//! Layer norm, and batch norm in training mode over one group of samples.

use crate::reference::tensor::{Tensor, dot};

/// Added to the variance; PyTorch's default for both norms.
const EPSILON: f64 = 1e-5;

/// Gradients of a norm.
pub struct NormGrad {
    /// Of the input.
    pub x: Tensor,
    /// Of the scale.
    pub weight: Tensor,
    /// Of the shift.
    pub bias: Tensor,
}

/// What one batch norm saw in one group, by channel. PyTorch then sets
/// running = 0.9 · running + 0.1 · this.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStats {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Variance of each channel over n - 1, as the running variance takes it.
    pub unbiased_variance: Vec<f64>,
}

/// Values with mean 0 and variance 1, and what took them there.
struct Standardised {
    values: Vec<f64>,
    mean: f64,
    /// Over n.
    variance: f64,
    /// 1 / sqrt(variance + epsilon).
    scale: f64,
}

fn standardise(values: &[f64]) -> Standardised {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
    let scale = 1.0 / (variance + EPSILON).sqrt();
    Standardised {
        values: values.iter().map(|v| (v - mean) * scale).collect(),
        mean,
        variance,
        scale,
    }
}

/// Gradient of the values before [`standardise`] from that of those after it.
fn standardise_backward(after: &Standardised, d_after: &[f64]) -> Vec<f64> {
    let n = d_after.len() as f64;
    let mean_d = d_after.iter().sum::<f64>() / n;
    let mean_dv = dot(d_after, &after.values) / n;
    d_after
        .iter()
        .zip(&after.values)
        .map(|(d, v)| after.scale * (d - mean_d - v * mean_dv))
        .collect()
}

/// Normalises every row of x `[.., w]`, then scales and shifts by weight and bias `[w]`.
#[must_use]
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let mut y = Tensor::zeros(&x.shape);
    for r in 0..x.rows() {
        let standard = standardise(x.row(r));
        for i in 0..x.width() {
            y.row_mut(r)[i] = weight.data[i] * standard.values[i] + bias.data[i];
        }
    }
    y
}

/// Gradients of [`layer_norm`] from `dy` of x's shape.
#[must_use]
pub fn layer_norm_backward(x: &Tensor, weight: &Tensor, dy: &Tensor) -> NormGrad {
    let width = x.width();
    let mut grad = NormGrad {
        x: Tensor::zeros(&x.shape),
        weight: Tensor::zeros(&[width]),
        bias: Tensor::zeros(&[width]),
    };
    for r in 0..x.rows() {
        let standard = standardise(x.row(r));
        let mut d_standard = vec![0.0; width];
        for i in 0..width {
            let d = dy.row(r)[i];
            grad.weight.data[i] += d * standard.values[i];
            grad.bias.data[i] += d;
            d_standard[i] = d * weight.data[i];
        }
        let dx = standardise_backward(&standard, &d_standard);
        grad.x.row_mut(r).copy_from_slice(&dx);
    }
    grad
}

/// Normalises every channel of x `[n, c, h, w]` over samples and places with the
/// biased variance, then scales and shifts by weight and bias `[c]`.
///
/// # Panics
/// If a channel has a single value: its unbiased variance does not exist.
#[must_use]
pub fn batch_norm(x: &Tensor, weight: &Tensor, bias: &Tensor) -> (Tensor, BatchStats) {
    let [_, channels, _, _] = x.dims();
    let mut y = Tensor::zeros(&x.shape);
    let mut stats = BatchStats {
        mean: vec![0.0; channels],
        unbiased_variance: vec![0.0; channels],
    };
    for c in 0..channels {
        let standard = standardise(&channel(x, c));
        let n = standard.values.len() as f64;
        assert!(n > 1.0, "batch norm needs more than one value a channel");
        stats.mean[c] = standard.mean;
        stats.unbiased_variance[c] = standard.variance * n / (n - 1.0);
        let scaled: Vec<f64> = standard
            .values
            .iter()
            .map(|v| weight.data[c] * v + bias.data[c])
            .collect();
        set_channel(&mut y, c, &scaled);
    }
    (y, stats)
}

/// Gradients of [`batch_norm`] from `dy` of x's shape.
#[must_use]
pub fn batch_norm_backward(x: &Tensor, weight: &Tensor, dy: &Tensor) -> NormGrad {
    let [_, channels, _, _] = x.dims();
    let mut grad = NormGrad {
        x: Tensor::zeros(&x.shape),
        weight: Tensor::zeros(&[channels]),
        bias: Tensor::zeros(&[channels]),
    };
    for c in 0..channels {
        let standard = standardise(&channel(x, c));
        let d = channel(dy, c);
        grad.weight.data[c] = dot(&d, &standard.values);
        grad.bias.data[c] = d.iter().sum();
        let d_standard: Vec<f64> = d.iter().map(|d| d * weight.data[c]).collect();
        set_channel(
            &mut grad.x,
            c,
            &standardise_backward(&standard, &d_standard),
        );
    }
    grad
}

/// All values of one channel of x `[n, c, h, w]`, sample by sample.
fn channel(x: &Tensor, c: usize) -> Vec<f64> {
    let [samples, channels, height, width] = x.dims();
    let places = height * width;
    (0..samples)
        .flat_map(|n| &x.data[(n * channels + c) * places..][..places])
        .copied()
        .collect()
}

/// Writes what [`channel`] reads.
fn set_channel(x: &mut Tensor, c: usize, values: &[f64]) {
    let [samples, channels, height, width] = x.dims();
    let places = height * width;
    for n in 0..samples {
        x.data[(n * channels + c) * places..][..places]
            .copy_from_slice(&values[n * places..][..places]);
    }
}

#[cfg(test)]
mod tests {
    use super::{batch_norm, batch_norm_backward, layer_norm, layer_norm_backward};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn layer_norm_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(3);
        let x = Tensor::random(&[2, 3, 6], 1.5, &mut rng);
        let weight = Tensor::random(&[6], 1.0, &mut rng);
        let bias = Tensor::random(&[6], 1.0, &mut rng);
        let dy = Tensor::random(&[2, 3, 6], 1.0, &mut rng);
        let value = |y: Tensor| dot(&y.data, &dy.data);
        let grad = layer_norm_backward(&x, &weight, &dy);
        assert_gradient("x", &x, &grad.x, |x| value(layer_norm(x, &weight, &bias)));
        assert_gradient("weight", &weight, &grad.weight, |w| {
            value(layer_norm(&x, w, &bias))
        });
        assert_gradient("bias", &bias, &grad.bias, |b| {
            value(layer_norm(&x, &weight, b))
        });
    }

    #[test]
    fn batch_norm_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(4);
        let x = Tensor::random(&[3, 2, 2, 3], 1.5, &mut rng);
        let weight = Tensor::random(&[2], 1.0, &mut rng);
        let bias = Tensor::random(&[2], 1.0, &mut rng);
        let dy = Tensor::random(&[3, 2, 2, 3], 1.0, &mut rng);
        let value = |(y, _): (Tensor, _)| dot(&y.data, &dy.data);
        let grad = batch_norm_backward(&x, &weight, &dy);
        assert_gradient("x", &x, &grad.x, |x| value(batch_norm(x, &weight, &bias)));
        assert_gradient("weight", &weight, &grad.weight, |w| {
            value(batch_norm(&x, w, &bias))
        });
        assert_gradient("bias", &bias, &grad.bias, |b| {
            value(batch_norm(&x, &weight, b))
        });
    }

    #[test]
    fn batch_norm_divides_by_the_biased_and_reports_the_unbiased_variance() {
        let x = Tensor::new(&[4, 1, 1, 1], vec![1.0, 2.0, 3.0, 6.0]);
        let one = Tensor::new(&[1], vec![1.0]);
        let (y, stats) = batch_norm(&x, &one, &Tensor::zeros(&[1]));
        assert_eq!(stats.mean, [3.0]);
        assert!((stats.unbiased_variance[0] - 14.0 / 3.0).abs() < 1e-12);
        let expected = 3.0 / (3.5f64 + 1e-5).sqrt();
        assert!((y.data[3] - expected).abs() < 1e-12);
    }
}
