//! Why a worker cannot go on.

use std::path::PathBuf;
use std::time::Duration;
use twinspan_collective::CollectiveError;
use twinspan_data::{CacheError, LoaderError, StoreError, TextError};
use twinspan_model::config::ModelConfigError;
use twinspan_model::device::GpuError;
use twinspan_model::openclip::WeightsError;
use twinspan_session::{SessionError, VoteError};
use twinspan_types::{Fault, GenerationFault, Rank, Step};

/// One variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// There is no such device, or something that it needs is missing.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// The device does not compute in bf16.
    #[error(
        "train.precision bf16 needs an NVIDIA GPU of compute capability 8.0 or higher, and this worker computes on {place}; say fp32"
    )]
    NoBf16 {
        /// The device.
        place: String,
    },
    /// Workers of one machine are to have a GPU each, and there are fewer.
    #[error(
        "{workers} workers need a GPU each, and this machine has {count}; start fewer with --workers, or name one for all, such as --device cuda:0"
    )]
    TooFewGpus {
        /// The workers.
        workers: usize,
        /// The GPUs.
        count: u32,
    },
    /// NCCL was asked for and cannot be used.
    #[error("cluster.collective nccl cannot be had: {0}; or say tcp")]
    NoNccl(String),
    /// What is to be told to a collector cannot be.
    #[error(transparent)]
    Telemetry(#[from] twinspan_telemetry::TelemetryError),
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
    /// What is to be locked cannot be.
    #[error("{0}")]
    Lock(Fault),
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
    /// No file of weights lies where one should.
    #[error(
        "{url} holds no weights; give a .safetensors, .pt or .bin file, or a directory with one of {names}"
    )]
    NoWeights {
        /// The directory or file.
        url: String,
        /// The names that are looked for.
        names: String,
    },
    /// Weights to begin with were trained under another activation.
    #[error(
        "{file} has quick_gelu: {quick_gelu} and the run's model has not; write quick_gelu: {quick_gelu} in the model's JSON"
    )]
    OtherActivation {
        /// The weights' configuration.
        file: String,
        /// What it says.
        quick_gelu: bool,
    },
    /// There is no room for a copy of a remote file.
    #[error("{url} cannot be copied to {folder}: {source}; make room there, or set TMPDIR to a folder that has some", folder = folder.display())]
    Copy {
        /// The file.
        url: String,
        /// Where the copy would lie.
        folder: PathBuf,
        /// The system's reason.
        source: std::io::Error,
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
    #[error("{url}: {what}; restore it from a copy, or take an older checkpoint")]
    CorruptCheckpoint {
        /// The part.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// Loss or gradients were not finite too often in a row.
    #[error("loss or gradients were not finite in steps {steps:?}")]
    NotFinite {
        /// The steps.
        steps: Vec<Step>,
    },
    /// Ranks' states are not equal.
    #[error("after step {step} the state of ranks {ranks:?} is not that of the others")]
    Diverged {
        /// The last committed step.
        step: Step,
        /// Whose state is not the majority's.
        ranks: Vec<Rank>,
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

impl From<Fault> for WorkerError {
    fn from(fault: Fault) -> Self {
        Self::Lock(fault)
    }
}

impl WorkerError {
    /// Whether what was given is at fault, so that nothing was tried.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Gpu(_)
            | Self::NoBf16 { .. }
            | Self::TooFewGpus { .. }
            | Self::NoNccl(_)
            | Self::Telemetry(_) => true,
            Self::Session(error) => matches!(error, SessionError::BadUrl { .. }),
            _ => false,
        }
    }

    /// What the coordinator is told of it.
    #[must_use]
    pub fn fault(&self) -> Option<GenerationFault> {
        match self {
            Self::Collective(error) => error.blames().map(GenerationFault::Lost),
            Self::Diverged { step, ranks } => Some(GenerationFault::Diverged {
                step: *step,
                ranks: ranks.clone(),
            }),
            Self::NotFinite { steps } => Some(GenerationFault::NotFinite {
                steps: steps.clone(),
            }),
            Self::CorruptCheckpoint { url, what } => Some(GenerationFault::DamagedCheckpoint {
                what: format!("{url}: {what}"),
            }),
            Self::MissingFile { url } => Some(GenerationFault::DamagedCheckpoint {
                what: format!("{url} is missing"),
            }),
            _ => None,
        }
    }

    /// Whether the state that the worker has is not to be gone on with, given the rank that it held.
    #[must_use]
    pub fn voids_state(&self, rank: Option<Rank>) -> bool {
        match self {
            Self::NotFinite { .. } => true,
            Self::Diverged { ranks, .. } => rank.is_none_or(|rank| ranks.contains(&rank)),
            _ => false,
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
            Self::Session(SessionError::Superseded { .. }) => true,
            Self::NotFinite { .. } | Self::Diverged { .. } => true,
            // Of the checkpoint that the generation starts from: there may be an older one.
            Self::CorruptCheckpoint { .. } | Self::MissingFile { .. } => true,
            _ => false,
        }
    }
}
