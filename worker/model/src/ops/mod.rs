//! Fused operations with backward passes written by hand.
//!
//! burn's own operations build LayerNorm, attention, GELU and batch norm from many small passes over
//! memory. On the CPU each operation here is one pass forward and one backward, in f32. GPUs compute
//! the same formulas out of their backend's operations, which it fuses, in f32 or half precision
//! (`composed`). Either way an operation saves no more than its inputs for the backward, and works on
//! tensors with and without autodiff.
//!
//! A kernel cuts its output into blocks of rows, which rayon deals to its pool, or which one thread
//! works through when the pool has no more. Blocks and the order of their sums depend on the shape
//! alone, never on the number of threads.
#![allow(unsafe_code, reason = "vector kernels and matrix products")]

mod activation;
mod attention;
mod avg_pool;
mod batch_norm;
mod composed;
mod exact;
mod glue;
#[cfg(feature = "gpu")]
mod gpu;
mod im2col;
mod l2_normalize;
mod layer_norm;
mod linear;
mod product;
mod simd;
#[cfg(test)]
pub(crate) mod tests;
mod token_sum;
mod total;

pub use activation::{gelu, quick_gelu};
pub use attention::attention;
pub use avg_pool::avg_pool;
pub use batch_norm::{BatchStats, batch_norm};
pub use exact::{allow_tf32, exact_product};
pub use im2col::im2col;
pub use l2_normalize::l2_normalize;
pub use layer_norm::layer_norm;
pub use linear::linear;
pub use token_sum::sum_by_token;
pub use total::total;
