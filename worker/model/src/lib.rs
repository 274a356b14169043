//! The model: towers, loss, optimiser and open_clip's file formats.
//!
//! burn lives here and nowhere else; this crate opens no socket and no file.

pub mod classifier;
pub mod config;
pub mod loss;
pub mod openclip;
pub mod ops;
pub mod optim;
pub mod params;
pub mod towers;

pub use burn::tensor::{Device, Tensor, TensorData};
