//! Average pooling over squares that do not overlap.

use crate::reference::tensor::Tensor;

/// Mean of every `factor` x `factor` square of x `[n, c, h, w]`; what is left at
/// the right and lower edges is dropped, as PyTorch's `AvgPool2d` does.
#[must_use]
pub fn avg_pool(x: &Tensor, factor: usize) -> Tensor {
    let [samples, channels, height, width] = x.dims();
    let mut y = Tensor::zeros(&[samples, channels, height / factor, width / factor]);
    let share = 1.0 / (factor * factor) as f64;
    each_pair(x, factor, |ix, iy| y.data[iy] += share * x.data[ix]);
    y
}

/// Gradient of the input of [`avg_pool`] from `dy` of its output's shape.
#[must_use]
pub fn avg_pool_backward(x: &Tensor, factor: usize, dy: &Tensor) -> Tensor {
    let mut dx = Tensor::zeros(&x.shape);
    let share = 1.0 / (factor * factor) as f64;
    each_pair(x, factor, |ix, iy| dx.data[ix] += share * dy.data[iy]);
    dx
}

/// Calls `pair` with the index of every input value and of its output value.
fn each_pair(x: &Tensor, factor: usize, mut pair: impl FnMut(usize, usize)) {
    let [samples, channels, height, width] = x.dims();
    let (rows, columns) = (height / factor, width / factor);
    for plane in 0..samples * channels {
        for i in 0..rows * factor {
            for j in 0..columns * factor {
                let ix = (plane * height + i) * width + j;
                let iy = (plane * rows + i / factor) * columns + j / factor;
                pair(ix, iy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{avg_pool, avg_pool_backward};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn pooling_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(10);
        let x = Tensor::random(&[2, 2, 4, 5], 1.0, &mut rng);
        let dy = Tensor::random(&[2, 2, 2, 2], 1.0, &mut rng);
        let dx = avg_pool_backward(&x, 2, &dy);
        assert_gradient("x", &x, &dx, |x| dot(&avg_pool(x, 2).data, &dy.data));
    }

    #[test]
    fn a_square_becomes_its_mean() {
        let x = Tensor::new(&[1, 1, 2, 3], vec![1.0, 2.0, 9.0, 3.0, 6.0, 9.0]);
        assert_eq!(avg_pool(&x, 2).data, [3.0]);
    }
}
