//! The state machine as its callers see it: claims one by one, and any order of events.
#![allow(clippy::unwrap_used, reason = "tests")]

mod crew;
mod faults;
mod properties;
mod rig;
mod scenarios;
mod terms;
