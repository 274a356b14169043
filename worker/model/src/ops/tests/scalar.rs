//! Exponential, normal distribution, GELU and quick GELU.

use burn::tensor::{Tensor, activation};

use super::harness::{check_exact, check_same, numbers};
use crate::ops::simd::{exp, multiversion, normal};
use crate::ops::{gelu, quick_gelu};

multiversion! {
    fn exp_all<const FMA: bool>(x: &[f32], out: &mut [f32]) {
        out.iter_mut().zip(x).for_each(|(o, &x)| *o = exp::<FMA>(x));
    }
}

multiversion! {
    fn normal_all<const FMA: bool>(x: &[f32], out: &mut [(f32, f32)]) {
        out.iter_mut().zip(x).for_each(|(o, &x)| *o = normal::<FMA>(x));
    }
}

/// The complementary error function for z >= 0: its series below 3, its continued fraction above.
fn erfc(z: f64) -> f64 {
    let scale = (-z * z).exp() / std::f64::consts::PI.sqrt();
    if z < 3.0 {
        let mut term = z;
        let mut sum = z;
        for n in 1..200 {
            term *= 2.0 * z * z / f64::from(2 * n + 1);
            sum += term;
        }
        1.0 - 2.0 * scale * sum
    } else {
        scale
            / (1..200)
                .rev()
                .fold(z, |tail, n| z + f64::from(n) / 2.0 / tail)
    }
}

fn cdf(x: f64) -> f64 {
    let tail = erfc(x.abs() / std::f64::consts::SQRT_2) / 2.0;
    if x < 0.0 { tail } else { 1.0 - tail }
}

fn steps(low: f32, high: f32) -> Vec<f32> {
    let count = 40_000;
    (0..=count)
        .map(|i| low + (high - low) * i as f32 / count as f32)
        .collect()
}

#[test]
fn exp_is_right_to_two_units_in_the_last_place() {
    let x = steps(-87.0, 87.9);
    let mut fast = vec![0.0; x.len()];
    exp_all(&x, &mut fast);
    for (kernel, baseline, x) in x
        .iter()
        .zip(&fast)
        .map(|(&x, &fast)| (fast, exp::<false>(x), x))
    {
        let right = f64::from(x).exp();
        for value in [kernel, baseline] {
            assert!(
                (f64::from(value) / right - 1.0).abs() < 2.4e-7,
                "exp({x}) = {value}"
            );
        }
    }
}

#[test]
fn exp_keeps_nan_and_ends_at_zero() {
    let mut out = [1.0; 4];
    exp_all(&[f32::NAN, f32::NEG_INFINITY, -88.0, 0.0], &mut out);
    assert!(out[0].is_nan());
    assert_eq!(out[1..], [0.0, 0.0, 1.0]);
}

#[test]
fn normal_is_right_in_both_tails() {
    let x = steps(-12.0, 12.0);
    let mut fast = vec![(0.0, 0.0); x.len()];
    normal_all(&x, &mut fast);
    for (&x, (fast_cdf, fast_density)) in x.iter().zip(fast) {
        let z = f64::from(x);
        // Half of x^2 is itself rounded, so the tail's relative error grows with it.
        let tolerance = 4e-7 + 6e-8 * z * z;
        let density = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        assert!(
            (f64::from(fast_cdf) / cdf(z) - 1.0).abs() < tolerance,
            "cdf({x}) = {fast_cdf}"
        );
        assert!(
            (f64::from(fast_density) / density - 1.0).abs() < tolerance,
            "density at {x}"
        );
    }
}

#[test]
fn erf_from_the_distribution_is_within_4e_7() {
    let x = steps(-4.0, 4.0);
    let scaled: Vec<_> = x.iter().map(|x| x * std::f32::consts::SQRT_2).collect();
    let mut fast = vec![(0.0, 0.0); x.len()];
    normal_all(&scaled, &mut fast);
    for (&x, (fast, _)) in x.iter().zip(fast) {
        let right = 1.0 - 2.0 * cdf(-f64::from(x) * std::f64::consts::SQRT_2);
        assert!(
            (2.0 * f64::from(fast) - 1.0 - right).abs() < 4e-7,
            "erf({x})"
        );
    }
}

fn times(x: &[f32], factor: f32) -> Vec<f32> {
    x.iter().map(|v| v * factor).collect()
}

fn flat(op: impl Fn(Tensor<2>) -> Tensor<2>, width: usize) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    move |t| op(t[0].clone().reshape([-1, width as i32])).reshape([-1])
}

#[test]
fn gelu_is_exact_with_its_gradient() {
    let x = vec![times(&numbers(3 * 7, 1), 4.0)];
    check_exact(&x, flat(gelu, 7), |x| {
        x[0].iter().map(|&x| x * cdf(x)).collect()
    });
    let x = vec![times(&numbers(150 * 257, 2), 5.0)];
    check_same(&x, flat(gelu, 257), flat(activation::gelu, 257));
}

#[test]
fn quick_gelu_is_exact_with_its_gradient() {
    let x = vec![times(&numbers(3 * 7, 3), 4.0)];
    check_exact(&x, flat(quick_gelu, 7), |x| {
        x[0].iter()
            .map(|&x| x / (1.0 + (-1.702 * x).exp()))
            .collect()
    });
    let x = vec![times(&numbers(150 * 257, 4), 5.0)];
    let composition = |x: Tensor<2>| x.clone() * activation::sigmoid(x * 1.702);
    check_same(&x, flat(quick_gelu, 257), flat(composition, 257));
}
