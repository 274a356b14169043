//! Why a coordinator cannot start or go on.

use twinspan_data::StoreError;

/// One variant for each reaction.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// The listener's address cannot be told.
    #[error("the coordinator's address cannot be told: {0}")]
    Listen(#[source] std::io::Error),
    /// A file of the run cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the run is not what it should be.
    #[error("{path}: {what}; restore it from a copy, or start another run under another name")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A coordinator of this run answers.
    #[error(
        "{run} is run by a coordinator at {address}: watch it with `twinspan status {address}`, or stop it first"
    )]
    StillRunning {
        /// The run's URL.
        run: String,
        /// The coordinator's URL.
        address: String,
    },
    /// There is no run.
    #[error("{url} holds no run (a run's directory has a run.yaml): check the URL")]
    NoRun {
        /// Where one was looked for.
        url: String,
    },
    /// The directory holds a run of another identity.
    #[error(
        "{run} was begun with another {what}; choose another `run:` name, or go on with the run file that began it (run.yaml beside its log)"
    )]
    AnotherRun {
        /// The run's URL.
        run: String,
        /// The paths that differ, with both values.
        what: String,
    },
    /// Another coordinator wrote to the log.
    #[error("another coordinator took the run over (its record is {path}); this one ends")]
    Superseded {
        /// The record.
        path: String,
    },
    /// What is to be told to a collector cannot be.
    #[error(transparent)]
    Telemetry(#[from] twinspan_telemetry::TelemetryError),
    /// The dataset does not fit the run.
    #[error(transparent)]
    Index(#[from] twinspan_types::IndexError),
    /// The driver's task is gone.
    #[error("the coordinator's driver ended without an outcome")]
    DriverGone,
}

impl CoordinatorError {
    /// Whether what was given is at fault, so that nothing was written.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::AnotherRun { .. } | Self::NoRun { .. } | Self::Telemetry(_) | Self::Index(_) => {
                true
            }
            Self::Store(error) => error.is_bad_input(),
            _ => false,
        }
    }
}
