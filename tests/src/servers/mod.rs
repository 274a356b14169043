//! Object stores that a test starts, kills and starts again: SeaweedFS for S3,
//! Azurite for Azure Blob Storage, and a stub of Google Cloud Storage.
//!
//! Every server listens on 127.0.0.1 alone, at ports that no other test has,
//! and is gone when its value is dropped or the test's process ends, however
//! that happens. `tests/install-servers.sh` installs the programs; a test
//! without them is skipped with [`or_skip`].

mod azurite;
mod gcs;
mod http;
mod installed;
mod ports;
mod process;
mod seaweed;
mod start_error;

pub use azurite::Azurite;
pub use gcs::{GcsCounts, GcsStub};
pub use seaweed::Seaweed;
pub use start_error::{StartError, or_skip};
