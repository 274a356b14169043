//! A worker's side of the conversation with the coordinator: joining, heartbeats, reports, leases,
//! and what the ranks agree on at a step's end.
//!
//! Knows nothing of tensors, so that simulations can run it beside a fake engine.

mod boundary;
mod calls;
mod connect;
mod error;
mod membership;
mod parts;
mod reporter;
mod session;
mod shared;
mod trace;
mod vote;
mod waits;

pub use boundary::Boundary;
pub use connect::{run_at, wait_for_run};
pub use error::SessionError;
pub use membership::{Membership, Outcome, SessionConfig};
pub use parts::Parts;
pub use session::{Committer, Drain, Session, Unacknowledged};
pub use shared::{Ended, Outbox, Sequence, Shared};
pub use vote::{Tally, Vote, VoteError};
pub use waits::Commit;
