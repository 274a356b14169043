//! Real shards and broken ones, through the crate's public face.

#![allow(clippy::unwrap_used, reason = "tests")]

mod audit;
mod emoji;
mod faults;
mod holdout;
mod inspect;
mod open_clip;
mod pack;
mod quarantine;
mod shards;
mod sources;
mod worlds;
