//! The model: towers, loss, optimiser and open_clip's file formats.
//!
//! burn lives here and nowhere else; this crate opens no socket and no file.

pub mod classifier;
mod compute;
pub mod config;
pub mod device;
mod flat;
mod gradient;
pub mod loss;
pub mod openclip;
pub mod ops;
pub mod optim;
pub mod params;
pub mod towers;

pub use compute::Compute;
pub use flat::{Flat, Resident, to_vec};
pub use gradient::{Gradient, Pieces};

pub use burn::tensor::{Device, DeviceKind, Tensor, TensorData};
