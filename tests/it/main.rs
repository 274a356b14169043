//! The testkit's own claims: its servers are real stores, and its faults really happen.

mod autotel;
mod azurite;
mod gate;
mod gcs;
mod lifetime;
mod netns;
mod node;
mod prometheus;
mod proxy;
mod proxy_faults;
mod seaweed;
mod store;
