//! LayerNorm, batch norm and rows of unit length.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::harness::{check_exact, check_same, numbers};
use crate::ops::{batch_norm, l2_normalize, layer_norm};

const EPS: f32 = 1e-5;

fn rows_and_columns(rows: usize, width: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut inputs = vec![numbers(rows * width, seed)];
    inputs.extend([numbers(width, seed + 1), numbers(width, seed + 2)]);
    // A mean away from zero, as activations have.
    inputs[0]
        .iter_mut()
        .enumerate()
        .for_each(|(i, v)| *v += (i % width) as f32 / width as f32);
    inputs
}

/// Mean and biased variance.
fn moments(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    (
        mean,
        values.map(|v| (v - mean).powi(2)).sum::<f64>() / count,
    )
}

fn fused_layer_norm(t: &[Tensor<1>]) -> Tensor<1> {
    let width = t[1].dims()[0] as i32;
    layer_norm(
        t[0].clone().reshape([-1, width]),
        t[1].clone(),
        t[2].clone(),
        EPS,
    )
    .reshape([-1])
}

#[test]
fn layer_norm_is_exact_with_its_gradients() {
    for (rows, width) in [(1, 1), (1, 5), (4, 16), (3, 37)] {
        check_exact(&rows_and_columns(rows, width, 5), fused_layer_norm, |v| {
            let mut out = Vec::new();
            for row in v[0].chunks(width) {
                let (mean, variance) = moments(row.iter().copied());
                let inverse = 1.0 / (variance + f64::from(EPS)).sqrt();
                out.extend((0..width).map(|k| (row[k] - mean) * inverse * v[1][k] + v[2][k]));
            }
            out
        });
    }
}

#[test]
fn layer_norm_agrees_with_burn_over_several_blocks() {
    check_same(&rows_and_columns(301, 200, 6), fused_layer_norm, |t| {
        let x = t[0].clone().reshape([301, 200]);
        let (variance, mean) = x.clone().var_mean_bias(1);
        let normal = (x - mean) / (variance + EPS).sqrt();
        (normal * t[1].clone().unsqueeze() + t[2].clone().unsqueeze()).reshape([-1])
    });
}

fn fused_batch_norm(relu: bool) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    move |t| {
        let x = t[0].clone().reshape([-1, t[1].dims()[0] as i32]);
        batch_norm(x, t[1].clone(), t[2].clone(), EPS, relu)
            .0
            .reshape([-1])
    }
}

#[test]
fn batch_norm_is_exact_with_its_gradients() {
    for (rows, width, relu) in [
        (2, 1, false),
        (7, 3, false),
        (7, 3, true),
        (40, 20, true),
        (33, 16, false),
    ] {
        check_exact(
            &rows_and_columns(rows, width, 7),
            fused_batch_norm(relu),
            |v| {
                let column = |k: usize| v[0].iter().copied().skip(k).step_by(width);
                let columns: Vec<_> = (0..width).map(|k| moments(column(k))).collect();
                let value = |(i, x): (usize, &f64)| {
                    let (mean, variance) = columns[i % width];
                    let normal = (x - mean) / (variance + f64::from(EPS)).sqrt();
                    let out = normal * v[1][i % width] + v[2][i % width];
                    if relu { out.max(0.0) } else { out }
                };
                v[0].iter().enumerate().map(value).collect()
            },
        );
    }
}

#[test]
fn batch_norm_agrees_with_burn_over_several_blocks() {
    check_same(
        &rows_and_columns(1500, 70, 8),
        fused_batch_norm(true),
        |t| {
            let x = t[0].clone().reshape([1500, 70]);
            let (variance, mean) = x.clone().var_mean_bias(0);
            let normal = (x - mean) / (variance + EPS).sqrt();
            activation::relu(normal * t[1].clone().unsqueeze() + t[2].clone().unsqueeze())
                .reshape([-1])
        },
    );
}

fn plain(values: Vec<f32>, rows: usize) -> Tensor<2> {
    let width = values.len() / rows;
    Tensor::from_data(TensorData::new(values, [rows, width]), &Device::flex())
}

fn statistics(x: Tensor<2>) -> crate::ops::BatchStats {
    let ones = Tensor::ones([x.dims()[1]], &Device::flex());
    batch_norm(x, ones.clone(), ones, EPS, false).1
}

#[test]
fn batch_norm_gives_the_unbiased_variance_of_columns_far_from_zero() {
    let (rows, width) = (5000, 3);
    let x: Vec<f32> = numbers(rows * width, 9)
        .iter()
        .map(|v| v + 1000.0)
        .collect();
    let stats = statistics(plain(x.clone(), rows));
    for k in 0..width {
        let (mean, variance) = moments(x.iter().skip(k).step_by(width).map(|&v| f64::from(v)));
        let unbiased = variance * rows as f64 / (rows - 1) as f64;
        assert!((f64::from(stats.mean[k]) - mean).abs() < 1e-4);
        assert!((f64::from(stats.variance[k]) - unbiased).abs() < 1e-5 * unbiased);
    }
}

/// As pictures on a plain background give them: thousands of equal numbers, and a first one that
/// differs from them.
#[test]
fn batch_norm_sums_a_plain_background_without_losing_digits() {
    let rows = 20_000;
    let x: Vec<f32> = (0..rows)
        .map(|row| if row % 400 == 0 { 0.3 } else { 1.925_713 })
        .collect();
    let (mean, variance) = moments(x.iter().map(|&v| f64::from(v)));
    let stats = statistics(plain(x.clone(), rows));
    assert!((f64::from(stats.mean[0]) / mean - 1.0).abs() < 2e-7);
    let unbiased = variance * rows as f64 / (rows - 1) as f64;
    assert!((f64::from(stats.variance[0]) / unbiased - 1.0).abs() < 1e-6);

    let device = Device::flex().autodiff();
    let x = Tensor::<2>::from_data(TensorData::new(x, [rows, 1]), &device);
    let gamma = Tensor::<1>::ones([1], &device);
    let beta = Tensor::<1>::zeros([1], &device).require_grad();
    let (out, _) = batch_norm(x, gamma, beta.clone(), EPS, false);
    let grads = (out * 0.1).sum().backward();
    let sum = beta.grad(&grads).expect("a gradient").into_scalar::<f32>();
    assert!((f64::from(sum) / (0.1_f32 as f64 * rows as f64) - 1.0).abs() < 2e-7);
}

#[test]
fn batch_norm_of_one_row_has_zero_variance() {
    let x = plain(vec![3.0, -4.0], 1);
    let stats = statistics(x.clone());
    assert_eq!(
        (stats.mean, stats.variance),
        (vec![3.0, -4.0], vec![0.0, 0.0])
    );
    let ones = Tensor::ones([2], &Device::flex());
    let out = batch_norm(x, ones.clone(), ones, EPS, true).0.into_data();
    assert_eq!(out.try_into_vec::<f32>().unwrap(), [1.0, 1.0]);
}

#[test]
fn batch_statistics_stay_off_the_graph() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::ones([4, 3], &device).require_grad();
    let ones = Tensor::<1>::ones([3], &device);
    let (out, stats) = batch_norm(x.clone(), ones.clone(), ones.clone(), EPS, true);
    let grads = out.sum().backward();
    assert!(x.grad(&grads).is_some());
    assert!(ones.grad(&grads).is_none());
    assert_eq!(stats.mean, [1.0; 3]);
}

fn fused_l2(width: usize) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    move |t| l2_normalize(t[0].clone().reshape([-1, width as i32])).reshape([-1])
}

#[test]
fn l2_normalize_is_exact_with_its_gradient() {
    for (rows, width) in [(1, 1), (1, 16), (5, 19)] {
        check_exact(&[numbers(rows * width, 10)], fused_l2(width), |v| {
            let length = |row: &[f64]| row.iter().map(|v| v * v).sum::<f64>().sqrt();
            v[0].chunks(width)
                .flat_map(|r| r.iter().map(move |v| v / length(r)))
                .collect()
        });
    }
    check_same(&[numbers(700 * 65, 11)], fused_l2(65), |t| {
        let x = t[0].clone().reshape([700, 65]);
        (x.clone() / x.powi_scalar(2).sum_dim(1).sqrt()).reshape([-1])
    });
}

#[test]
fn l2_normalize_of_a_zero_row_is_zero_and_its_gradient_finite() {
    let x = Tensor::<2>::zeros([1, 3], &Device::flex().autodiff()).require_grad();
    let out = l2_normalize(x.clone());
    let grad = x.grad(&out.clone().sum().backward()).unwrap();
    assert_eq!(out.into_data().try_into_vec::<f32>().unwrap(), [0.0; 3]);
    assert_eq!(grad.into_data().try_into_vec::<f32>().unwrap(), [1e12; 3]);
}
