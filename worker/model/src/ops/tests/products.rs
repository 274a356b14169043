//! Attention and the linear layer.

use burn::tensor::{Device, Tensor, activation};

use super::harness::{check_exact, check_same, numbers};
use crate::ops::{attention, linear};

fn fused(
    length: usize,
    width: usize,
    heads: usize,
    causal: bool,
) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    move |t| {
        let qkv = t[0].clone().reshape([-1, length as i32, 3 * width as i32]);
        attention(qkv, heads, causal).reshape([-1])
    }
}

/// Attention of one batch in plain loops.
fn loops(qkv: &[f64], length: usize, width: usize, heads: usize, causal: bool) -> Vec<f64> {
    let head_width = width / heads;
    let mut out = Vec::new();
    for sample in qkv.chunks(length * 3 * width) {
        for i in 0..length {
            for column in 0..width {
                let head = column / head_width * head_width;
                let at = |part: usize, t: usize, k: usize| sample[t * 3 * width + part * width + k];
                let reach = if causal { i + 1 } else { length };
                let weights: Vec<f64> = (0..reach)
                    .map(|j| {
                        let score: f64 = (head..head + head_width)
                            .map(|k| at(0, i, k) * at(1, j, k))
                            .sum();
                        (score / (head_width as f64).sqrt()).exp()
                    })
                    .collect();
                let mix: f64 = weights
                    .iter()
                    .enumerate()
                    .map(|(j, w)| w * at(2, j, column))
                    .sum();
                out.push(mix / weights.iter().sum::<f64>());
            }
        }
    }
    out
}

#[test]
fn attention_is_exact_with_its_gradient() {
    for (batch, length, width, heads) in [(1, 1, 4, 1), (2, 3, 6, 2), (2, 5, 9, 3), (1, 17, 4, 1)] {
        for causal in [false, true] {
            check_exact(
                &[numbers(batch * length * 3 * width, 12)],
                fused(length, width, heads, causal),
                |v| loops(&v[0], length, width, heads, causal),
            );
        }
    }
}

fn composition(
    length: usize,
    width: usize,
    heads: usize,
    causal: bool,
) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    move |t| {
        let head_width = width / heads;
        let split = t[0]
            .clone()
            .reshape([-1, length as i32, 3, heads as i32, head_width as i32]);
        let [q, k, v] = [0, 1, 2].map(|part| {
            split
                .clone()
                .narrow(2, part, 1)
                .squeeze_dim::<4>(2)
                .swap_dims(1, 2)
        });
        let mut scores = q.matmul(k.transpose()) / (head_width as f64).sqrt();
        if causal {
            let mask = Tensor::<2>::ones([length, length], &scores.device()).triu(1) * -1e9;
            scores = scores + mask.unsqueeze();
        }
        activation::softmax(scores, 3)
            .matmul(v)
            .swap_dims(1, 2)
            .reshape([-1])
    }
}

#[test]
fn attention_agrees_with_burn() {
    for (batch, length, width, heads) in [(3, 50, 96, 3), (2, 77, 64, 1), (5, 16, 80, 4)] {
        for causal in [false, true] {
            check_same(
                &[numbers(batch * length * 3 * width, 13)],
                fused(length, width, heads, causal),
                composition(length, width, heads, causal),
            );
        }
    }
}

#[test]
fn a_causal_row_does_not_see_what_comes_after_it() {
    let device = Device::flex();
    let qkv =
        Tensor::<1>::from_floats(numbers(20 * 24, 14).as_slice(), &device).reshape([1, 20, 24]);
    let cut = attention(qkv.clone().narrow(1, 0, 9), 2, true);
    let whole = attention(qkv, 2, true).narrow(1, 0, 9);
    whole
        .into_data()
        .assert_approx_eq::<f32>(&cut.into_data(), Default::default());
}

#[test]
fn attention_passes_nan_on() {
    let mut qkv = numbers(4 * 12, 15);
    qkv[0] = f32::NAN;
    let qkv = Tensor::<1>::from_floats(qkv.as_slice(), &Device::flex()).reshape([1, 4, 12]);
    let out = attention(qkv, 1, false)
        .into_data()
        .try_into_vec::<f32>()
        .unwrap();
    assert!(out[..4].iter().all(|v| v.is_nan()) && out[4..].iter().all(|v| v.is_finite()));
}

fn fused_linear(sizes: [usize; 3]) -> impl Fn(&[Tensor<1>]) -> Tensor<1> {
    let [rows, inputs, outputs] = sizes;
    move |t| {
        let (x, w) = (
            t[0].clone().reshape([rows, inputs]),
            t[1].clone().reshape([outputs, inputs]),
        );
        linear(x, w, t.get(2).cloned()).reshape([-1])
    }
}

fn linear_inputs([rows, inputs, outputs]: [usize; 3], bias: bool) -> Vec<Vec<f32>> {
    let mut all = vec![numbers(rows * inputs, 16), numbers(outputs * inputs, 17)];
    all.extend(bias.then(|| numbers(outputs, 18)));
    all
}

#[test]
fn linear_is_exact_with_its_gradients() {
    for sizes in [[1, 1, 1], [1, 5, 3], [4, 16, 7], [9, 3, 17]] {
        let [rows, inputs, outputs] = sizes;
        for bias in [false, true] {
            check_exact(&linear_inputs(sizes, bias), fused_linear(sizes), |v| {
                let product = |r: usize, o: usize| -> f64 {
                    (0..inputs)
                        .map(|i| v[0][r * inputs + i] * v[1][o * inputs + i])
                        .sum()
                };
                let bias = |o: usize| v.get(2).map_or(0.0, |b| b[o]);
                (0..rows * outputs)
                    .map(|i| (i / outputs, i % outputs))
                    .map(|(r, o)| product(r, o) + bias(o))
                    .collect()
            });
        }
    }
}

#[test]
fn linear_agrees_with_burn_and_takes_strided_tensors() {
    let sizes = [501, 70, 130];
    let [rows, inputs, outputs] = sizes;
    check_same(&linear_inputs(sizes, true), fused_linear(sizes), |t| {
        let (x, w) = (
            t[0].clone().reshape([rows, inputs]),
            t[1].clone().reshape([outputs, inputs]),
        );
        (x.matmul(w.transpose()) + t[2].clone().unsqueeze()).reshape([-1])
    });
    // The same memory read as [inputs, rows] and [inputs, outputs], then turned.
    let turned = |t: &[Tensor<1>]| {
        let x = t[0].clone().reshape([inputs, rows]).transpose();
        (x, t[1].clone().reshape([inputs, outputs]))
    };
    check_same(
        &linear_inputs(sizes, false),
        |t| {
            let (x, w) = turned(t);
            linear(x.flip([0]), w.transpose(), None).reshape([-1])
        },
        |t| {
            let (x, w) = turned(t);
            x.flip([0]).matmul(w).reshape([-1])
        },
    );
}

#[test]
fn an_untracked_input_gets_no_gradient() {
    let device = Device::flex().autodiff();
    let x = Tensor::<2>::ones([4, 3], &device);
    let w = Tensor::<2>::ones([2, 3], &device).require_grad();
    let bias = Tensor::<1>::ones([2], &Device::flex());
    let grads = linear(x.clone(), w.clone(), Some(bias)).sum().backward();
    assert!(x.grad(&grads).is_none());
    assert_eq!(
        w.grad(&grads)
            .unwrap()
            .into_data()
            .try_into_vec::<f32>()
            .unwrap(),
        [4.0; 6]
    );
}
