//! The engines' tests: one conformance suite over all of them, faults, the handshake, and ranks that
//! are real processes.

mod conformance;
mod fake;
mod faults;
mod handshake;
mod nccl;
mod processes;
mod properties;
mod worlds;
