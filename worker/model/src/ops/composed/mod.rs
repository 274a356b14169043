//! The operations out of a backend's own, forward and backward: what GPUs compute.
//!
//! A GPU's backend fuses chains of them into kernels of its own. They hold for every backend, which is
//! how they are tested: on the CPU they must give the kernels' numbers. Tensors may be stored in half
//! precision; norms, softmax and sums are computed in f32, and gradients have their tensor's type.

mod attention;
mod columns;
mod maps;
mod norms;
mod num;

pub(super) use attention::{attention, attention_backward};
pub(super) use columns::{
    activation, activation_backward, bias_gradient, input_gradient, linear, weight_gradient,
};
pub(super) use maps::{avg_pool, avg_pool_backward, im2col, im2col_backward};
pub(super) use norms::{
    batch_norm, batch_norm_backward, l2_normalize, l2_normalize_backward, layer_norm,
    layer_norm_backward,
};

#[cfg(test)]
mod tests;
