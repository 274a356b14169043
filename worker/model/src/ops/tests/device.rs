//! A device of its own gives the CPU's numbers, at sizes at which a model's layers have them.

use super::device_under_test as device;
use super::harness::numbers;
use crate::ops::{avg_pool, batch_norm, im2col, linear};
use burn::tensor::{Device, Tensor, TensorData};

/// Output and input gradients of `op` on a device, the output pulled by noise.
fn on(
    device: &Device,
    inputs: &[(Vec<f32>, [usize; 2])],
    op: &dyn Fn(&[Tensor<2>]) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let tensor = |values: &[f32], shape| {
        let data = TensorData::new(values.to_vec(), shape);
        Tensor::<2>::from_data(data, device).autodiff()
    };
    let leaves: Vec<Tensor<2>> = inputs
        .iter()
        .map(|(values, shape)| tensor(values, *shape).require_grad())
        .collect();
    let out = op(&leaves);
    let shape = out.dims();
    let noise = tensor(&numbers(shape[0] * shape[1], 7), shape);
    let grads = (out.clone() * noise).sum().backward();
    let grads = leaves.iter().map(|leaf| leaf.grad(&grads).unwrap());
    let read = |t: Tensor<2>| t.into_data().try_into_vec::<f32>().unwrap();
    std::iter::once(out.inner())
        .chain(grads)
        .map(read)
        .collect()
}

#[track_caller]
fn same(what: &str, inputs: &[(Vec<f32>, [usize; 2])], op: impl Fn(&[Tensor<2>]) -> Tensor<2>) {
    let ours = on(&device(), inputs, &op);
    let cpus = on(&Device::flex(), inputs, &op);
    for (which, (ours, cpus)) in ours.iter().zip(&cpus).enumerate() {
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let gap = ours
            .iter()
            .zip(cpus)
            .map(|(a, b)| f64::from(*a) - f64::from(*b));
        let error = norm(&mut gap.into_iter()) / norm(&mut cpus.iter().map(|v| f64::from(*v)));
        eprintln!("{what}, {which}: {error:.1e}");
        assert!(error < 1e-5, "{what}, {which}: off by {error:e}");
    }
}

/// Rows of which most are one background, as pictures' are.
fn picture(rows: usize, width: usize) -> Vec<f32> {
    let mut values = numbers(rows * width, 3);
    for (row, values) in values.chunks_mut(width).enumerate() {
        if row % 10 < 6 {
            values
                .iter_mut()
                .enumerate()
                .for_each(|(c, v)| *v = 0.3 + 0.1 * c as f32);
        }
    }
    values
}

#[test]
fn batch_norm_of_pictures() {
    for relu in [false, true] {
        let inputs = [
            (picture(24_576, 8), [24_576, 8]),
            (vec![1.0; 8], [1, 8]),
            (vec![0.0; 8], [1, 8]),
        ];
        same("batch norm", &inputs, |t| {
            let [gamma, beta] = [&t[1], &t[2]].map(|t| t.clone().reshape([8]));
            batch_norm(t[0].clone(), gamma, beta, 1e-5, relu).0
        });
    }
}

#[test]
fn convolutions_of_pictures() {
    let (side, c) = (32, 8);
    let inputs = [
        (picture(24 * side * side, c), [24 * side * side, c]),
        (numbers(16 * 9 * c, 5), [16, 9 * c]),
    ];
    for stride in [1, 2] {
        same("convolution", &inputs, |t| {
            let pictures = t[0].clone().reshape([24, side, side, c]);
            linear(im2col(pictures, 3, stride, 1), t[1].clone(), None)
        });
    }
    same("pooling", &inputs[..1], |t| {
        let pooled = avg_pool(t[0].clone().reshape([24, side, side, c]), 2);
        pooled.reshape([24 * side * side / 4, c])
    });
}
