//! The processes that one command starts: how they are started, what they print, how they end, and
//! the signals that this one gets meanwhile.

mod children;
mod crew;
mod report;
mod signals;

pub use children::{COORDINATOR, Child, Children, Line, News, Process, Start, has_crashed};
pub use crew::Crew;
pub use report::Report;
pub use signals::{Asked, Signals};

use std::time::Duration;

/// Time that processes get to end by themselves once there is nothing left for them to do.
pub const GRACE: Duration = Duration::from_secs(10);
