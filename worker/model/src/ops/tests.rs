//! Each operation against f64 loops, finite differences of them, and burn's own composition.
#![allow(clippy::unwrap_used, reason = "tests")]

mod convolution;
pub(super) mod harness;
mod norms;
mod products;
mod scalar;
mod threads;
