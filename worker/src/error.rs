//! Why a worker cannot go on.

use std::time::Duration;
use twinspan_collective::CollectiveError;
use twinspan_data::{CacheError, LoaderError, StoreError, TextError};
use twinspan_model::config::ModelConfigError;
use twinspan_model::openclip::WeightsError;
use twinspan_session::{SessionError, VoteError};
use twinspan_types::{Rank, Step};

/// One variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The conversation with the coordinator broke.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The data plane broke.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// The samples cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The model's JSON is not one that this build can train.
    #[error(transparent)]
    Model(#[from] ModelConfigError),
    /// The model's text tower does not fit the tokeniser.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A checkpoint's weights do not fit the model.
    #[error("{url}: {source}")]
    Weights {
        /// The checkpoint.
        url: String,
        /// All that does not fit.
        source: WeightsError,
    },
    /// Ranks' votes do not fit together.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that must be there is not.
    #[error("{url} is missing: this is no whole run or checkpoint")]
    MissingFile {
        /// The file.
        url: String,
    },
    /// A file of the run is not what it should be.
    #[error("{url} cannot be read: {source}; restore it from a copy")]
    CorruptFile {
        /// The file.
        url: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The folder of the shard cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The system gives no means to wait for a store.
    #[error("no asynchronous runtime can be started: {0}")]
    Runtime(#[source] std::io::Error),
    /// A checkpoint's part is not what its manifest says.
    #[error("{url}: {what}; remove this checkpoint's directory to continue from an older one")]
    CorruptCheckpoint {
        /// The part.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// Loss or gradients were not finite too often in a row.
    #[error(
        "loss or gradients were not finite for {bad} steps in a row, the last at step {step}; lower optimizer.lr, lengthen optimizer.warmup, or set optimizer.grad_clip_norm"
    )]
    NotFinite {
        /// How many.
        bad: u32,
        /// The last of them.
        step: Step,
    },
    /// The ranks started from different weights.
    #[error(
        "rank {rank} starts from other weights than rank 0; the checkpoint or the builds differ"
    )]
    DifferentWeights {
        /// The first rank that differs.
        rank: Rank,
    },
    /// A state that another rank sent makes no sense.
    #[error("a peer's state cannot be read: {0}; use the same build on all ranks")]
    UnreadableState(String),
    /// The world does not hold this worker.
    #[error("the world that was formed does not hold this worker; start it again")]
    NotAMember,
    /// An upload thread died.
    #[error("writing a checkpoint failed: {0}")]
    Upload(String),
    /// A checkpoint was not finished in time.
    #[error("a checkpoint was not uploaded within {0:?}")]
    UploadTimeout(Duration),
}

impl WorkerError {
    /// The rank that is responsible, where it can be told.
    #[must_use]
    pub fn blames(&self) -> Option<Rank> {
        match self {
            Self::Collective(error) => error.blames(),
            _ => None,
        }
    }

    /// Whether another generation may mend it.
    #[must_use]
    pub fn leaves_generation(&self) -> bool {
        match self {
            Self::Collective(error) => match error {
                CollectiveError::PeerLost { .. }
                | CollectiveError::PeerLeft { .. }
                | CollectiveError::Timeout { .. }
                | CollectiveError::Aborted { .. }
                | CollectiveError::Poisoned { .. }
                | CollectiveError::Connect { .. } => true,
                CollectiveError::Protocol { .. } | CollectiveError::Local { .. } => false,
            },
            Self::Session(SessionError::Superseded { .. } | SessionError::Evicted { .. }) => true,
            _ => false,
        }
    }
}
