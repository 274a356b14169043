//! Random inputs, and the comparisons that every operation goes through.

use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers in -1..1 that depend on the seed alone.
pub(in crate::ops) fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn leaf(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

fn vector(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Output of `op` and gradients of `sum(weights * output)`, all flat, for the inputs given.
pub(super) fn run(
    inputs: &[Vec<f32>],
    op: impl Fn(&[Tensor<1>]) -> Tensor<1>,
) -> (Vec<f32>, Vec<Vec<f32>>) {
    let device = Device::flex().autodiff();
    let leaves: Vec<_> = inputs
        .iter()
        .map(|v| leaf(v, &device).require_grad())
        .collect();
    let out = op(&leaves);
    let weights = leaf(&numbers(out.dims()[0], 99), &device);
    let grads = (out.clone() * weights).sum().backward();
    let grads = leaves
        .iter()
        .map(|l| vector(l.grad(&grads).unwrap()))
        .collect();

    let plain: Vec<_> = inputs.iter().map(|v| leaf(v, &Device::flex())).collect();
    let out = vector(out.inner());
    assert_close(
        "output without autodiff",
        &vector(op(&plain)),
        &wide(&out),
        1e-6,
    );
    (out, grads)
}

#[track_caller]
fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}: length");
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let error = (f64::from(a) - e).abs();
        assert!(
            error <= tolerance * (1.0 + e.abs()),
            "{what}[{i}]: {a} and not {e}"
        );
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// `op` gives `reference`'s numbers, and its gradients are the finite differences of `reference`.
#[track_caller]
pub(super) fn check_exact(
    inputs: &[Vec<f32>],
    op: impl Fn(&[Tensor<1>]) -> Tensor<1>,
    reference: impl Fn(&[Vec<f64>]) -> Vec<f64>,
) {
    const STEP: f64 = 1e-5;
    let (out, grads) = run(inputs, op);
    let mut wide_inputs: Vec<_> = inputs.iter().map(|v| wide(v)).collect();
    assert_close("output", &out, &reference(&wide_inputs), 2e-6);
    let weights = wide(&numbers(out.len(), 99));
    let loss = |inputs: &[Vec<f64>]| -> f64 {
        reference(inputs)
            .iter()
            .zip(&weights)
            .map(|(o, w)| o * w)
            .sum()
    };
    for (which, grad) in grads.iter().enumerate() {
        let differences: Vec<f64> = (0..grad.len())
            .map(|i| {
                let here = wide_inputs[which][i];
                wide_inputs[which][i] = here + STEP;
                let above = loss(&wide_inputs);
                wide_inputs[which][i] = here - STEP;
                let below = loss(&wide_inputs);
                wide_inputs[which][i] = here;
                (above - below) / (2.0 * STEP)
            })
            .collect();
        assert_close(
            &format!("gradient of input {which}"),
            grad,
            &differences,
            2e-5,
        );
    }
}

/// `op` gives the numbers and the gradients of burn's `composition`.
#[track_caller]
pub(super) fn check_same(
    inputs: &[Vec<f32>],
    op: impl Fn(&[Tensor<1>]) -> Tensor<1>,
    composition: impl Fn(&[Tensor<1>]) -> Tensor<1>,
) {
    let (out, grads) = run(inputs, op);
    let (burn_out, burn_grads) = run(inputs, composition);
    assert_close("output", &out, &wide(&burn_out), 2e-5);
    for (which, (grad, burn_grad)) in grads.iter().zip(&burn_grads).enumerate() {
        assert_close(
            &format!("gradient of input {which}"),
            grad,
            &wide(burn_grad),
            1e-4,
        );
    }
}
