//! Patches and average pooling.

use burn::tensor::module::{avg_pool2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Device, Tensor};

use super::harness::{check_exact, check_same, numbers};
use crate::ops::{avg_pool, im2col, linear};

/// (batch, height, width, channels).
type Picture = [usize; 4];

/// (kernel, stride, padding), over pictures with odd sides, three channels or one.
const WINDOWS: [(Picture, usize, usize, usize); 8] = [
    ([2, 7, 5, 3], 3, 2, 1),
    ([2, 7, 5, 3], 3, 1, 1),
    ([1, 7, 5, 1], 2, 2, 0),
    ([2, 4, 6, 3], 2, 2, 0),
    ([1, 5, 5, 2], 1, 2, 0),
    ([1, 5, 4, 2], 1, 1, 0),
    ([1, 2, 2, 3], 5, 1, 3),
    ([1, 1, 1, 2], 1, 1, 1),
];

fn patches(x: &[f64], [batch, h, w, c]: Picture, k: usize, stride: usize, pad: usize) -> Vec<f64> {
    let place = |out: usize, inner: usize, size: usize| {
        (out * stride + inner)
            .checked_sub(pad)
            .filter(|&at| at < size)
    };
    let (out_h, out_w) = (
        (h + 2 * pad - k) / stride + 1,
        (w + 2 * pad - k) / stride + 1,
    );
    let mut rows = Vec::new();
    for row in 0..batch * out_h * out_w {
        let (b, oy, ox) = (row / (out_h * out_w), row / out_w % out_h, row % out_w);
        for column in 0..k * k * c {
            let (ky, kx, channel) = (column / (k * c), column / c % k, column % c);
            rows.push(match (place(oy, ky, h), place(ox, kx, w)) {
                (Some(y), Some(x_at)) => x[((b * h + y) * w + x_at) * c + channel],
                _ => 0.0,
            });
        }
    }
    rows
}

#[test]
fn im2col_gathers_the_patches_and_scatters_their_gradient() {
    for (picture, kernel, stride, padding) in WINDOWS {
        check_exact(
            &[numbers(picture.iter().product(), 19)],
            |t| im2col(t[0].clone().reshape(picture), kernel, stride, padding).reshape([-1]),
            |v| patches(&v[0], picture, kernel, stride, padding),
        );
    }
}

#[test]
fn patches_times_weights_are_burns_convolution() {
    let ([batch, h, w, c], outputs) = ([3, 9, 11, 4], 6);
    for (kernel, stride, padding) in [(3, 2, 1), (3, 1, 1), (4, 4, 0)] {
        check_same(
            &[
                numbers(batch * h * w * c, 20),
                numbers(outputs * kernel * kernel * c, 21),
            ],
            |t| {
                let rows = im2col(
                    t[0].clone().reshape([batch, h, w, c]),
                    kernel,
                    stride,
                    padding,
                );
                linear(rows, t[1].clone().reshape([outputs as i32, -1]), None).reshape([-1])
            },
            |t| {
                let x = t[0].clone().reshape([batch, h, w, c]).permute([0, 3, 1, 2]);
                let weight = t[1]
                    .clone()
                    .reshape([outputs, kernel, kernel, c])
                    .permute([0, 3, 1, 2]);
                let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
                conv2d(x, weight, None, options)
                    .permute([0, 2, 3, 1])
                    .reshape([-1])
            },
        );
    }
}

#[test]
fn avg_pool_is_exact_with_its_gradient() {
    for (picture, k) in [([2, 7, 5, 3], 2), ([1, 6, 9, 17], 3), ([1, 3, 2, 1], 1)] {
        let [_, h, w, c] = picture;
        let pooled = [picture[0], h / k, w / k, c];
        check_exact(
            &[numbers(picture.iter().product(), 22)],
            |t| {
                let out = avg_pool(t[0].clone().reshape(picture), k);
                assert_eq!(out.dims(), pooled);
                out.reshape([-1])
            },
            |v| {
                let mean = |i: usize| {
                    let (channel, x, y) =
                        (i % c, i / c % pooled[2], i / (c * pooled[2]) % pooled[1]);
                    let b = i / (c * pooled[2] * pooled[1]);
                    let at = |dy, dx| v[0][((b * h + y * k + dy) * w + x * k + dx) * c + channel];
                    let sum: f64 = (0..k * k).map(|d| at(d / k, d % k)).sum();
                    sum / (k * k) as f64
                };
                (0..pooled.iter().product()).map(mean).collect()
            },
        );
    }
}

#[test]
fn avg_pool_agrees_with_burn() {
    let picture = [3, 12, 10, 20];
    check_same(
        &[numbers(picture.iter().product(), 23)],
        |t| avg_pool(t[0].clone().reshape(picture), 2).reshape([-1]),
        |t| {
            let x = t[0].clone().reshape(picture).permute([0, 3, 1, 2]);
            let out = avg_pool2d(x, AvgPoolOptions::new([2, 2]));
            out.permute([0, 2, 3, 1]).reshape([-1])
        },
    );
}

#[test]
fn a_kernel_larger_than_the_picture_is_refused() {
    let x = Tensor::<4>::zeros([1, 2, 2, 3], &Device::flex());
    assert!(std::panic::catch_unwind(|| im2col(x, 3, 1, 0)).is_err());
}
