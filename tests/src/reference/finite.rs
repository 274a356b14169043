//! Checks of hand-written gradients against central finite differences.

use super::params::Params;
use super::tensor::{Tensor, add_scaled, dot};
use crate::random::Rng;

/// Step of the five-point formula, whose error is step⁴/30 of the fifth derivative.
const STEP: f64 = 1e-3;

/// Largest difference, relative to the largest value of the gradient.
const TOLERANCE: f64 = 1e-8;

/// f'(0) by the five-point formula, for a smooth f.
pub fn slope(f: impl Fn(f64) -> f64) -> f64 {
    let h = STEP;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

/// f'(0) by two close points, for an f with kinks nearby.
pub fn close_slope(f: impl Fn(f64) -> f64) -> f64 {
    let h = 1e-6;
    (f(h) - f(-h)) / (2.0 * h)
}

/// Every value of `gradient` against differences of `f` around `at`.
pub fn assert_gradient(name: &str, at: &Tensor, gradient: &Tensor, f: impl Fn(&Tensor) -> f64) {
    assert_eq!(at.shape, gradient.shape, "gradient of {name}");
    let largest = gradient.data.iter().fold(0.0f64, |m, g| m.max(g.abs()));
    assert!(largest > 0.0, "the gradient of {name} is zero everywhere");
    for i in 0..at.data.len() {
        let expected = slope(|delta| {
            let mut moved = at.clone();
            moved.data[i] += delta;
            f(&moved)
        });
        assert!(
            (gradient.data[i] - expected).abs() <= TOLERANCE * largest,
            "{name}[{i}]: gradient {}, differences {expected}",
            gradient.data[i]
        );
    }
}

/// Every value of every gradient against differences of `f` around `params`.
pub fn assert_param_gradients(params: &Params, grads: &Params, f: impl Fn(&Params) -> f64) {
    assert_eq!(params.len(), grads.len());
    for (name, tensor) in params.iter() {
        assert_gradient(name, tensor, grads.get(name), |moved| {
            let mut all = params.clone();
            all.insert(name, moved.clone());
            f(&all)
        });
    }
}

/// `per_tensor` random values of every gradient, and the slope along one random
/// direction of each whole tensor, against differences of `f`. Returns how many
/// values were compared.
///
/// A value may differ by `tolerance` of the larger of itself and the root mean
/// square of its tensor's gradient, plus what rounding `f` explains.
pub fn assert_sampled_gradients(
    params: &Params,
    grads: &Params,
    per_tensor: usize,
    tolerance: f64,
    slope: impl Fn(&dyn Fn(f64) -> f64) -> f64,
    f: impl Fn(&Params) -> f64,
) -> usize {
    let mut rng = Rng::new(99);
    let mut compared = 0;
    for (name, tensor) in params.iter() {
        let grad = grads.get(name);
        let typical = grad.norm() / (grad.data.len() as f64).sqrt();
        let mut directions = vec![unit(Tensor::random(&tensor.shape, 1.0, &mut rng))];
        for _ in 0..per_tensor {
            let mut one = Tensor::zeros(&tensor.shape);
            one.data[rng.below(tensor.data.len())] = 1.0;
            directions.push(one);
        }
        for direction in directions {
            let expected = slope(&|delta| {
                let mut moved = params.clone();
                add_scaled(&mut moved.get_mut(name).data, delta, &direction.data);
                f(&moved)
            });
            let got = dot(&grad.data, &direction.data);
            assert!(
                (got - expected).abs() <= tolerance * got.abs().max(typical) + 1e-9,
                "{name}: gradient {got:e}, differences {expected:e}, typical {typical:e}"
            );
            compared += 1;
        }
    }
    compared
}

fn unit(tensor: Tensor) -> Tensor {
    let norm = tensor.norm();
    tensor.map(|v| v / norm)
}
