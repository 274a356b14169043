//! The testkit's own claims: its servers are real stores, and its faults really happen; and
//! those of `deploy/observability`, which only needs the testkit.

mod autotel;
mod azurite;
mod gate;
mod gcs;
mod lifetime;
mod listener;
mod netns;
mod node;
mod observability;
mod prometheus;
mod proxy;
mod proxy_faults;
mod seaweed;
mod store;
