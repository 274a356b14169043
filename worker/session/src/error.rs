//! What can go wrong between a worker and its coordinator.

use std::time::Duration;
use twinspan_proto::convert::ConvertError;

/// One variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The address is no URL.
    #[error("{url:?} is no coordinator URL; give for example http://127.0.0.1:7700")]
    BadUrl {
        /// What was given.
        url: String,
    },
    /// No answer in time.
    #[error(
        "the coordinator at {url} did not answer {call} for {:.1} s: {last}; check that it runs and that the address can be reached from here",
        waited.as_secs_f64()
    )]
    Unreachable {
        /// Its address.
        url: String,
        /// The call that was tried.
        call: &'static str,
        /// How long it was tried.
        waited: Duration,
        /// The last attempt's error.
        last: String,
    },
    /// The coordinator answered with a refusal.
    #[error("the coordinator refused {call}: {reason}")]
    Refused {
        /// The call.
        call: &'static str,
        /// Its words.
        reason: String,
    },
    /// An answer that this build cannot read.
    #[error("the coordinator's answer cannot be read: {0}; use the same build on both sides")]
    Unreadable(#[from] ConvertError),
    /// A configuration that this build cannot read.
    #[error(
        "the coordinator's configuration cannot be read: {0}; use the same build on both sides"
    )]
    UnreadableConfig(String),
    /// The generation that was spoken of is over: leave it and ask for the next.
    #[error("the coordinator refused {call}: {reason}")]
    Superseded {
        /// The call.
        call: &'static str,
        /// Its words.
        reason: String,
    },
    /// The coordinator, or another one in its place, does not know this worker any more.
    #[error("the coordinator refused {call}: {reason}")]
    Evicted {
        /// The call.
        call: &'static str,
        /// Its words.
        reason: String,
    },
    /// The run is over.
    #[error("the run has ended: {reason}")]
    Ended {
        /// Whether it failed.
        failed: bool,
        /// Why.
        reason: String,
    },
    /// The system refused a thread or a socket.
    #[error("cannot start the session's thread: {0}")]
    Runtime(#[source] std::io::Error),
}

impl SessionError {
    /// The end for a worker that was told to go.
    pub(crate) fn told_to_go() -> Self {
        Self::Ended {
            failed: false,
            reason: "this worker was told to go".to_owned(),
        }
    }
}
