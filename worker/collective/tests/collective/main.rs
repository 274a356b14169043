//! The engines' tests: one conformance suite over all of them, faults, the handshake, and ranks that
//! are real processes.

mod conformance;
mod faults;
mod handshake;
mod processes;
mod properties;
mod worlds;
