//! Object stores that a test starts, kills and starts again: SeaweedFS for S3,
//! Azurite for Azure Blob Storage, and a stub of Google Cloud Storage; and who
//! looks at a run: a receiver of traces, Prometheus, and a browser under Node.
//!
//! Every server listens on 127.0.0.1 alone, at ports that no other test has,
//! and is gone when its value is dropped or the test's process ends, however
//! that happens. `tests/install-servers.sh` installs the programs; a test
//! without them is skipped with [`or_skip`].

mod autotel;
mod azurite;
mod command;
mod gcs;
mod http;
mod installed;
mod node;
mod ports;
mod process;
mod prometheus;
mod promtool;
mod seaweed;
mod start_error;
mod traces;

pub use autotel::Autotel;
pub use azurite::Azurite;
pub use command::Finished;
pub use gcs::{GcsCounts, GcsStub};
pub use node::Node;
pub use prometheus::{Prometheus, Sample};
pub use promtool::promtool;
pub use seaweed::Seaweed;
pub use start_error::{StartError, or_skip};
pub use traces::{Span, Status, Trace};
