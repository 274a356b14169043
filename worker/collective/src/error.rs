//! Why a collective failed.

use std::fmt;
use std::io;
use std::time::Duration;
use twinspan_types::Rank;

/// The kinds of collective, as the wire numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// [`crate::Collective::all_gather`].
    AllGather = 1,
    /// [`crate::Collective::all_reduce_sum`].
    AllReduceSum = 2,
    /// [`crate::Collective::broadcast`].
    Broadcast = 3,
    /// [`crate::Collective::all_gather_bytes`].
    AllGatherBytes = 4,
    /// [`crate::Collective::barrier`].
    Barrier = 5,
}

impl Operation {
    /// The operation that the wire calls by this number.
    pub(crate) fn from_wire(number: u8) -> Option<Self> {
        [
            Self::AllGather,
            Self::AllReduceSum,
            Self::Broadcast,
            Self::AllGatherBytes,
            Self::Barrier,
        ]
        .into_iter()
        .find(|operation| *operation as u8 == number)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllGather => "all_gather",
            Self::AllReduceSum => "all_reduce_sum",
            Self::Broadcast => "broadcast",
            Self::AllGatherBytes => "all_gather_bytes",
            Self::Barrier => "barrier",
        })
    }
}

/// What ended a rank's part in the data plane of a generation, one variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum CollectiveError {
    /// A peer's process or the way to it is gone: leave the generation and report the peer. Ranks
    /// that are no neighbours of the lost one hear of it round the ring, and name it too.
    #[error("rank {peer} is lost ({source}): leave this generation and join again")]
    PeerLost {
        /// The rank that is gone.
        peer: Rank,
        /// What its neighbour saw.
        source: io::Error,
    },
    /// A peer lives and has left the generation: leave too, there is nobody to blame.
    #[error("rank {peer} has left this generation ({reason}): leave it too and join again")]
    PeerLeft {
        /// The rank that left first.
        peer: Rank,
        /// Why it left.
        reason: String,
    },
    /// Nothing moved for the step timeout: leave, and let the coordinator say who stood still.
    #[error(
        "{operation} (collective {sequence}) made no progress for {waited:?}: another rank stands \
         still; leave this generation and join again, or raise the step timeout if steps take \
         that long"
    )]
    Timeout {
        /// The collective that waited.
        operation: Operation,
        /// Its number.
        sequence: u64,
        /// How long nothing moved.
        waited: Duration,
    },
    /// This rank was told to stop: do what the one who aborted asked for.
    #[error("the collective was aborted: {reason}")]
    Aborted {
        /// The reason given to [`crate::AbortHandle::abort`].
        reason: String,
    },
    /// Ranks disagree on what they are doing: a defect, or ranks of different builds.
    #[error("the ranks disagree: {detail}; all ranks must run the same build and configuration")]
    Protocol {
        /// Both sides' values, and which rank saw them.
        detail: String,
    },
    /// An earlier collective failed, or NCCL did without saying because of which rank: nothing can
    /// follow it in this generation.
    #[error("an earlier collective of this generation failed: {cause}")]
    Poisoned {
        /// The first error's message.
        cause: String,
    },
    /// A neighbour could not be reached when the ring was formed: report it as a failed link.
    #[error(
        "no link with rank {peer} at {address} after {waited:?}: {detail}; check that it runs and \
         that the address can be reached from here"
    )]
    Connect {
        /// The neighbour.
        peer: Rank,
        /// Its address.
        address: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt met.
        detail: String,
    },
    /// This machine refused something, whatever the peers do: stop.
    #[error("{doing} failed: {source}")]
    Local {
        /// What was tried.
        doing: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl CollectiveError {
    /// The same error once more, for another call that meets it.
    pub(crate) fn again(&self) -> Self {
        let copy = |source: &io::Error| io::Error::new(source.kind(), source.to_string());
        match self {
            Self::PeerLost { peer, source } => Self::PeerLost {
                peer: *peer,
                source: copy(source),
            },
            Self::PeerLeft { peer, reason } => Self::PeerLeft {
                peer: *peer,
                reason: reason.clone(),
            },
            Self::Timeout {
                operation,
                sequence,
                waited,
            } => Self::Timeout {
                operation: *operation,
                sequence: *sequence,
                waited: *waited,
            },
            Self::Aborted { reason } => Self::Aborted {
                reason: reason.clone(),
            },
            Self::Protocol { detail } => Self::Protocol {
                detail: detail.clone(),
            },
            Self::Poisoned { cause } => Self::Poisoned {
                cause: cause.clone(),
            },
            Self::Connect {
                peer,
                address,
                waited,
                detail,
            } => Self::Connect {
                peer: *peer,
                address: address.clone(),
                waited: *waited,
                detail: detail.clone(),
            },
            Self::Local { doing, source } => Self::Local {
                doing: doing.clone(),
                source: copy(source),
            },
        }
    }

    /// The rank whose link failed, for the coordinator's table of failed pairs; none where another
    /// rank cannot be blamed from what this one saw.
    #[must_use]
    pub fn blames(&self) -> Option<Rank> {
        match self {
            Self::PeerLost { peer, .. } | Self::Connect { peer, .. } => Some(*peer),
            Self::PeerLeft { .. }
            | Self::Timeout { .. }
            | Self::Aborted { .. }
            | Self::Protocol { .. }
            | Self::Poisoned { .. }
            | Self::Local { .. } => None,
        }
    }
}
