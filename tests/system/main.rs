//! Whole-system tests: the real binary, real processes, real pictures, real signals.

mod azure_and_gcs;
mod bad_input;
mod bucket;
mod chaos;
mod checkpoint_command;
mod checkpoint_writes;
mod checkpoints;
mod coordinator_away;
mod data;
mod eval_command;
mod evaluation;
mod golden;
mod inference;
mod network;
mod open_clip;
mod processes;
mod resume;
mod robustness;
mod run;
mod s3;
mod skips;
mod sources;
mod support;
mod survive;
mod weights;
