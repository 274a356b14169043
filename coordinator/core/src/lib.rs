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
mod ending;
mod entropy;
mod evaluations;
mod faults;
mod forming;
mod lineage;
mod losses;
mod message;
mod orders;
mod pairs;
mod progress;
mod quarantine;
mod requests;
mod rollback;
mod roster;
mod skips;
mod status;
mod straggler;
mod stragglers;
mod watch;
mod writing;

pub use crate::core::Core;
pub use config::{CoreConfig, LoggedWorld, Recovered};
pub use message::{Action, Event, Outcome, Request, Response, Token, Topic};
