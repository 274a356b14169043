//! CLIP training in float64 as plain loops: forward, hand-written backward,
//! loss and optimiser.
//!
//! Clarity goes before speed: every backward function takes what its forward
//! took and computes again what it needs, and nothing is shared with the crates
//! under test. Each backward is checked against finite differences.
//!
//! Names and shapes are open_clip's; functions panic with a message when a
//! shape does not fit, as a test's helpers should.

#![allow(
    clippy::needless_range_loop,
    reason = "the loops are written in the indices of the formulas"
)]

pub mod attention_pool;
pub mod block;
pub mod clip;
pub mod config;
#[cfg(test)]
mod finite;
pub mod layers;
pub mod loss;
pub mod optim;
pub mod params;
pub mod resnet;
pub mod shapes;
pub mod tensor;
pub mod text;
pub mod vit;

pub use clip::{Output, loss_and_gradients};
pub use config::{ModelConfig, TextConfig, VisionConfig};
pub use params::Params;
pub use tensor::Tensor;
