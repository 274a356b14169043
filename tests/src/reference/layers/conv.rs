//! Convolution without bias.

use crate::reference::tensor::Tensor;

/// Gradients of a convolution.
pub struct ConvGrad {
    /// Of the input, `[n, c, h, w]`.
    pub x: Tensor,
    /// Of the weight, `[o, c, k, k]`.
    pub weight: Tensor,
}

/// y[n,o,i,j] = Σ x[n,c,i·stride+a-pad,j·stride+b-pad] · weight[o,c,a,b], with
/// zeros outside x `[n, c, h, w]`.
#[must_use]
pub fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, pad: usize) -> Tensor {
    let [samples, _, height, width] = x.dims();
    let [outer, _, side, _] = weight.dims();
    let out = |length: usize| (length + 2 * pad - side) / stride + 1;
    let mut y = Tensor::zeros(&[samples, outer, out(height), out(width)]);
    let places = [y.shape[2], y.shape[3]];
    each_term(x, weight, places, stride, pad, |ix, iw, iy| {
        y.data[iy] += x.data[ix] * weight.data[iw];
    });
    y
}

/// Gradients of [`conv2d`] from `dy` of its output's shape.
#[must_use]
pub fn conv2d_backward(
    x: &Tensor,
    weight: &Tensor,
    stride: usize,
    pad: usize,
    dy: &Tensor,
) -> ConvGrad {
    let mut grad = ConvGrad {
        x: Tensor::zeros(&x.shape),
        weight: Tensor::zeros(&weight.shape),
    };
    let [_, _, y_height, y_width] = dy.dims();
    each_term(x, weight, [y_height, y_width], stride, pad, |ix, iw, iy| {
        grad.x.data[ix] += dy.data[iy] * weight.data[iw];
        grad.weight.data[iw] += dy.data[iy] * x.data[ix];
    });
    grad
}

/// Calls `term` with the indices into x, weight and y of every product in the sum.
fn each_term(
    x: &Tensor,
    weight: &Tensor,
    [y_height, y_width]: [usize; 2],
    stride: usize,
    pad: usize,
    mut term: impl FnMut(usize, usize, usize),
) {
    let [samples, channels, height, width] = x.dims();
    let [outer, w_channels, side, side_2] = weight.dims();
    assert_eq!(channels, w_channels, "the weight does not fit the input");
    assert_eq!(side, side_2, "kernels are square");
    // The outputs i with kernel place a whose input i·stride + a - pad exists.
    let inside = |a: usize, outputs: usize, length: usize| {
        let start = pad.saturating_sub(a).div_ceil(stride);
        let end = (length + pad).saturating_sub(a).div_ceil(stride);
        start..end.min(outputs)
    };
    for n in 0..samples {
        for o in 0..outer {
            for c in 0..channels {
                for a in 0..side {
                    for b in 0..side {
                        let iw = ((o * channels + c) * side + a) * side + b;
                        for i in inside(a, y_height, height) {
                            let row = i * stride + a - pad;
                            let x_row = ((n * channels + c) * height + row) * width;
                            let y_row = ((n * outer + o) * y_height + i) * y_width;
                            for j in inside(b, y_width, width) {
                                term(x_row + j * stride + b - pad, iw, y_row + j);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{conv2d, conv2d_backward};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn convolution_gradients_agree_with_finite_differences() {
        for (side, stride, pad) in [(3, 1, 1), (3, 2, 1), (1, 1, 0), (2, 2, 0)] {
            let mut rng = Rng::new(9);
            let x = Tensor::random(&[2, 3, 6, 4], 1.0, &mut rng);
            let weight = Tensor::random(&[2, 3, side, side], 1.0, &mut rng);
            let y = conv2d(&x, &weight, stride, pad);
            let dy = Tensor::random(&y.shape, 1.0, &mut rng);
            let value = |y: Tensor| dot(&y.data, &dy.data);
            let grad = conv2d_backward(&x, &weight, stride, pad, &dy);
            assert_gradient("x", &x, &grad.x, |x| value(conv2d(x, &weight, stride, pad)));
            assert_gradient("weight", &weight, &grad.weight, |w| {
                value(conv2d(&x, w, stride, pad))
            });
        }
    }

    #[test]
    fn a_convolution_does_not_turn_its_kernel() {
        let x = Tensor::new(&[1, 1, 2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let weight = Tensor::new(&[1, 1, 2, 2], vec![1.0, 10.0, 100.0, 1000.0]);
        let y = conv2d(&x, &weight, 1, 0);
        assert_eq!(y.shape, [1, 1, 1, 2]);
        assert_eq!(y.data, [5421.0, 6532.0]);
        // Padding puts the first value under the kernel's middle.
        let kernel = Tensor::new(&[1, 1, 3, 3], (0..9).map(f64::from).collect());
        let padded = conv2d(&x, &kernel, 2, 1);
        assert_eq!(padded.shape, [1, 1, 1, 2]);
        assert_eq!(padded.data[0], 4.0 + 5.0 * 2.0 + 7.0 * 4.0 + 8.0 * 5.0);
    }
}
