//! Layers with their parameters taken by name, and gradients added by name.
//!
//! A `stem` is all of a name before `weight` and `bias`: `visual.ln_pre.` or
//! `transformer.resblocks.0.attn.in_proj_`.

use super::linear::{linear, linear_backward, project, project_backward};
use super::norm::{NormGrad, layer_norm, layer_norm_backward};
use crate::reference::params::Params;
use crate::reference::tensor::Tensor;

/// The weight and the bias under a stem.
#[must_use]
pub fn weight_and_bias<'a>(params: &'a Params, stem: &str) -> (&'a Tensor, &'a Tensor) {
    (
        params.get(&format!("{stem}weight")),
        params.get(&format!("{stem}bias")),
    )
}

/// [`linear`] by name.
#[must_use]
pub fn linear_at(params: &Params, stem: &str, x: &Tensor) -> Tensor {
    let (weight, bias) = weight_and_bias(params, stem);
    linear(x, weight, bias)
}

/// Adds the parameters' gradients of [`linear_at`] and returns the input's.
pub fn linear_at_backward(
    params: &Params,
    grads: &mut Params,
    stem: &str,
    x: &Tensor,
    dy: &Tensor,
) -> Tensor {
    let (weight, _) = weight_and_bias(params, stem);
    let grad = linear_backward(x, weight, dy);
    grads.add(&format!("{stem}weight"), &grad.weight);
    grads.add(&format!("{stem}bias"), &grad.bias);
    grad.x
}

/// [`layer_norm`] by name.
#[must_use]
pub fn layer_norm_at(params: &Params, stem: &str, x: &Tensor) -> Tensor {
    let (weight, bias) = weight_and_bias(params, stem);
    layer_norm(x, weight, bias)
}

/// Adds the parameters' gradients of [`layer_norm_at`] and returns the input's.
pub fn layer_norm_at_backward(
    params: &Params,
    grads: &mut Params,
    stem: &str,
    x: &Tensor,
    dy: &Tensor,
) -> Tensor {
    let (weight, _) = weight_and_bias(params, stem);
    add_norm(grads, stem, layer_norm_backward(x, weight, dy))
}

/// Adds a norm's parameter gradients and returns its input's.
pub fn add_norm(grads: &mut Params, stem: &str, grad: NormGrad) -> Tensor {
    grads.add(&format!("{stem}weight"), &grad.weight);
    grads.add(&format!("{stem}bias"), &grad.bias);
    grad.x
}

/// [`project`] by name.
#[must_use]
pub fn project_at(params: &Params, name: &str, x: &Tensor) -> Tensor {
    project(x, params.get(name))
}

/// Adds the matrix's gradient of [`project_at`] and returns the input's.
pub fn project_at_backward(
    params: &Params,
    grads: &mut Params,
    name: &str,
    x: &Tensor,
    dy: &Tensor,
) -> Tensor {
    let (dx, dmatrix) = project_backward(x, params.get(name), dy);
    grads.add(name, &dmatrix);
    dx
}
