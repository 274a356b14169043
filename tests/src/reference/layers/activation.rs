//! Activations, value by value.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use crate::reference::tensor::Tensor;

/// Factor inside quick GELU's sigmoid.
const QUICK: f64 = 1.702;

/// The activation of an MLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x·Φ(x) with the exact normal distribution.
    Gelu,
    /// x·sigmoid(1.702x), as OpenAI trained.
    QuickGelu,
}

impl Activation {
    /// The activation of every value.
    #[must_use]
    pub fn apply(self, x: &Tensor) -> Tensor {
        x.map(|v| match self {
            Self::Gelu => v * normal_cdf(v),
            Self::QuickGelu => v * sigmoid(QUICK * v),
        })
    }

    /// Gradient of the input from `dy` of its shape.
    #[must_use]
    pub fn backward(self, x: &Tensor, dy: &Tensor) -> Tensor {
        let slope = x.map(|v| match self {
            Self::Gelu => normal_cdf(v) + v * (-0.5 * v * v).exp() / (2.0 * PI).sqrt(),
            Self::QuickGelu => {
                let gate = sigmoid(QUICK * v);
                gate + QUICK * v * gate * (1.0 - gate)
            }
        });
        times(&slope, dy)
    }
}

/// max(x, 0) of every value.
#[must_use]
pub fn relu(x: &Tensor) -> Tensor {
    x.map(|v| v.max(0.0))
}

/// Gradient of [`relu`]'s input from `dy` of its shape; 0 at 0, as PyTorch has it.
#[must_use]
pub fn relu_backward(x: &Tensor, dy: &Tensor) -> Tensor {
    times(&x.map(|v| if v > 0.0 { 1.0 } else { 0.0 }), dy)
}

fn times(a: &Tensor, b: &Tensor) -> Tensor {
    assert_eq!(a.shape, b.shape, "a gradient has the shape of its value");
    let product = a.data.iter().zip(&b.data).map(|(a, b)| a * b).collect();
    Tensor::new(&a.shape, product)
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn normal_cdf(v: f64) -> f64 {
    0.5 * (1.0 + erf(v * FRAC_1_SQRT_2))
}

/// The error function: 2/√π · exp(-x²) · Σ 2ⁿ x²ⁿ⁺¹ / (1·3·…·(2n+1)), whose terms
/// all have one sign, so no digit is lost.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        // 1 - |erf| is below 3e-17 from here on.
        return x.signum();
    }
    let mut term = x;
    let mut sum = x;
    let mut odd = 1.0;
    while term.abs() > 1e-17 * sum.abs() {
        odd += 2.0;
        term *= 2.0 * x * x / odd;
        sum += term;
    }
    2.0 / PI.sqrt() * (-x * x).exp() * sum
}

#[cfg(test)]
mod tests {
    use super::{Activation, erf, relu, relu_backward};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn erf_has_the_tabulated_values() {
        // Abramowitz and Stegun, table 7.1, and its odd symmetry.
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (7.0, 1.0),
        ] {
            assert!((erf(x) - expected).abs() < 1e-15, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + expected).abs() < 1e-15, "erf(-{x})");
        }
    }

    #[test]
    fn activation_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(5);
        let x = Tensor::random(&[40], 2.0, &mut rng);
        let dy = Tensor::random(&[40], 1.0, &mut rng);
        for activation in [Activation::Gelu, Activation::QuickGelu] {
            let dx = activation.backward(&x, &dy);
            assert_gradient("x", &x, &dx, |x| dot(&activation.apply(x).data, &dy.data));
        }
    }

    #[test]
    fn relu_gradients_agree_with_finite_differences_away_from_zero() {
        let mut rng = Rng::new(6);
        let x = Tensor::random(&[40], 2.0, &mut rng).map(|v| v + 0.1 * v.signum());
        let dy = Tensor::random(&[40], 1.0, &mut rng);
        let dx = relu_backward(&x, &dy);
        assert_gradient("x", &x, &dx, |x| dot(&relu(x).data, &dy.data));
    }
}
