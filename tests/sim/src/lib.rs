//! A whole run in one thread, with the real coordinator, the real session and a fake engine: a seed
//! decides who dies when and what the network does, and the same seed does the same again.

mod coordinators;
mod deeds;
mod engine;
mod net;
mod plane;
mod simulation;
mod state;
mod surroundings;

pub use simulation::{Report, simulate};
