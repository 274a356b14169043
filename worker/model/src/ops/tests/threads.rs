//! Pools of several threads.

use burn::tensor::Tensor;
use rayon::ThreadPoolBuilder;

use super::harness::{numbers, run};
use crate::ops::{attention, avg_pool, batch_norm, gelu, im2col, l2_normalize, layer_norm, linear};

/// Several blocks of every kind: a small residual network's step, then a transformer's.
fn every_operation(t: &[Tensor<1>]) -> Tensor<1> {
    let [x, weight, gamma, beta] = [0, 1, 2, 3].map(|i| t[i].clone());
    let rows = im2col(x.reshape([6, 22, 20, 16]), 3, 1, 1);
    let x = linear(rows, weight.reshape([48, 144]), Some(beta.clone()));
    let (x, _) = batch_norm(x, gamma.clone(), beta.clone(), 1e-5, true);
    let x = avg_pool(x.reshape([6, 22, 20, 48]), 2).reshape([660, 48]);
    let x = gelu(layer_norm(x, gamma, beta, 1e-5)).reshape([22, 30, 48]);
    l2_normalize(attention(x, 2, true).reshape([660, 16])).reshape([-1])
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let inputs = [
        numbers(6 * 22 * 20 * 16, 24),
        numbers(48 * 144, 25),
        numbers(48, 26),
    ];
    let inputs = [&inputs[..], &[numbers(48, 27)]].concat();
    let with_threads = |threads: usize| {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| run(&inputs, every_operation))
    };
    let one = with_threads(1);
    assert_eq!(one, with_threads(2));
    assert_eq!(one, with_threads(5));
}
