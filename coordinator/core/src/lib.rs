//! The coordinator's decisions as a pure state machine: membership, generations, lanes and leases,
//! orders, and the ledger of checkpoints.
//!
//! Events go in, actions come out. The caller owns clocks, sockets, stores and randomness, so that
//! the same core runs in production, under property tests and in simulations.

mod active;
mod attempts;
mod checkpoints;
mod config;
mod core;
mod entropy;
mod lineage;
mod message;
mod orders;
mod progress;
mod quarantine;
mod requests;
mod roster;
mod skips;
mod status;
mod watch;

pub use crate::core::Core;
pub use config::{CoreConfig, Recovered};
pub use message::{Action, Event, Outcome, Request, Response, Token};
