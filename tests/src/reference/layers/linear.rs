//! Matrix products with parameters.

use crate::reference::tensor::{Tensor, add_scaled, add_to, dot};

/// Gradients of a linear layer.
pub struct LinearGrad {
    /// Of the input, `[.., in]`.
    pub x: Tensor,
    /// Of the weight, `[out, in]`.
    pub weight: Tensor,
    /// Of the bias, `[out]`.
    pub bias: Tensor,
}

/// y = x·weightᵀ + bias: x `[.., in]`, weight `[out, in]`, bias `[out]`, y `[.., out]`.
#[must_use]
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Tensor {
    let [outer, inner] = weight.dims();
    assert_eq!(x.width(), inner, "the weight does not fit the input");
    let mut y = x.zeros_with_width(outer);
    for r in 0..x.rows() {
        for o in 0..outer {
            y.row_mut(r)[o] = bias.data[o] + dot(x.row(r), weight.row(o));
        }
    }
    y
}

/// Gradients of [`linear`] from `dy` `[.., out]`.
#[must_use]
pub fn linear_backward(x: &Tensor, weight: &Tensor, dy: &Tensor) -> LinearGrad {
    let [outer, _] = weight.dims();
    let mut grad = LinearGrad {
        x: Tensor::zeros(&x.shape),
        weight: Tensor::zeros(&weight.shape),
        bias: Tensor::zeros(&[outer]),
    };
    for r in 0..x.rows() {
        for o in 0..outer {
            let d = dy.row(r)[o];
            add_scaled(grad.x.row_mut(r), d, weight.row(o));
            add_scaled(grad.weight.row_mut(o), d, x.row(r));
        }
        add_to(&mut grad.bias.data, dy.row(r));
    }
    grad
}

/// y = x·matrix: x `[.., in]`, matrix `[in, out]`, y `[.., out]`.
#[must_use]
pub fn project(x: &Tensor, matrix: &Tensor) -> Tensor {
    let [inner, outer] = matrix.dims();
    assert_eq!(x.width(), inner, "the matrix does not fit the input");
    let mut y = x.zeros_with_width(outer);
    for r in 0..x.rows() {
        for i in 0..inner {
            add_scaled(y.row_mut(r), x.row(r)[i], matrix.row(i));
        }
    }
    y
}

/// Gradients of [`project`] from `dy` `[.., out]`: of the input and of the matrix.
#[must_use]
pub fn project_backward(x: &Tensor, matrix: &Tensor, dy: &Tensor) -> (Tensor, Tensor) {
    let [inner, _] = matrix.dims();
    let mut dx = Tensor::zeros(&x.shape);
    let mut dmatrix = Tensor::zeros(&matrix.shape);
    for r in 0..x.rows() {
        for i in 0..inner {
            dx.row_mut(r)[i] = dot(matrix.row(i), dy.row(r));
            add_scaled(dmatrix.row_mut(i), x.row(r)[i], dy.row(r));
        }
    }
    (dx, dmatrix)
}

#[cfg(test)]
mod tests {
    use super::{linear, linear_backward, project, project_backward};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn linear_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(1);
        let x = Tensor::random(&[2, 3, 4], 1.0, &mut rng);
        let weight = Tensor::random(&[5, 4], 1.0, &mut rng);
        let bias = Tensor::random(&[5], 1.0, &mut rng);
        let dy = Tensor::random(&[2, 3, 5], 1.0, &mut rng);
        let value = |y: Tensor| dot(&y.data, &dy.data);
        let grad = linear_backward(&x, &weight, &dy);
        assert_gradient("x", &x, &grad.x, |x| value(linear(x, &weight, &bias)));
        assert_gradient("weight", &weight, &grad.weight, |w| {
            value(linear(&x, w, &bias))
        });
        assert_gradient("bias", &bias, &grad.bias, |b| value(linear(&x, &weight, b)));
    }

    #[test]
    fn projection_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(2);
        let x = Tensor::random(&[3, 4], 1.0, &mut rng);
        let matrix = Tensor::random(&[4, 2], 1.0, &mut rng);
        let dy = Tensor::random(&[3, 2], 1.0, &mut rng);
        let value = |y: Tensor| dot(&y.data, &dy.data);
        let (dx, dmatrix) = project_backward(&x, &matrix, &dy);
        assert_gradient("x", &x, &dx, |x| value(project(x, &matrix)));
        assert_gradient("matrix", &matrix, &dmatrix, |m| value(project(&x, m)));
    }
}
