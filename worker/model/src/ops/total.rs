//! The sum of many numbers.

use burn::tensor::Tensor;

/// Numbers that are summed in one go. A GPU's sums of more than 65,536 in a row were seen to leave the
/// rest out (burn 0.22.1, cubek 0.3.1, over Vulkan), and long ones lose digits besides.
pub(super) const RUN: usize = 128;

/// The sum `[1]` of all numbers, in runs of runs.
pub fn total(numbers: Tensor<1>) -> Tensor<1> {
    let [length] = numbers.dims();
    if length <= RUN {
        return numbers.sum();
    }
    let whole = length / RUN * RUN;
    let runs = numbers.clone().slice(0..whole);
    let runs: Tensor<1> = runs.reshape([length / RUN, RUN]).sum_dim(1).squeeze_dim(1);
    match length - whole {
        0 => total(runs),
        _ => total(Tensor::cat(
            vec![runs, numbers.slice(whole..length).sum()],
            0,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::tests::device_under_test as device;
    use burn::tensor::TensorData;

    #[test]
    fn no_number_is_left_out_and_no_digit_lost() {
        for length in [1, RUN, RUN + 1, 70_000, 1_100_003] {
            let numbers: Vec<f32> = (0..length).map(|i| (i * 7919 % 1000) as f32).collect();
            let exact: f64 = numbers.iter().map(|n| f64::from(*n)).sum();
            let data = TensorData::new(numbers, [length]);
            let sum = total(Tensor::from_data(data, &device())).into_data();
            let sum: Vec<f32> = sum.try_into_vec().expect("f32");
            let error = (f64::from(sum[0]) - exact).abs();
            assert!(
                error <= 1e-6 * exact,
                "{length}: {} and not {exact}",
                sum[0]
            );
        }
    }
}
