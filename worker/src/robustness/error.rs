//! Why the experiment has no result.

use std::time::Duration;
use twinspan_data::{EvalError, LoaderError, TextError};
use twinspan_types::Step;

/// Why the experiment has no result.
#[derive(Debug, thiserror::Error)]
pub enum RobustnessError {
    /// The training pictures cannot be read.
    #[error(transparent)]
    Loader(#[from] LoaderError),
    /// The model's text tower does not fit the tokeniser.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A test set cannot be read.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The store gave nothing for too long.
    #[error(
        "no pictures for step {step} of the classifier within {waited:?}; try again when the store answers"
    )]
    NoPictures {
        /// The step.
        step: Step,
        /// How long was waited.
        waited: Duration,
    },
    /// A picture that was not there when the classes were read.
    #[error(
        "the training picture {key} has no class; the shards have changed, so start again with another --out"
    )]
    NoLabel {
        /// Its key.
        key: String,
    },
    /// The numbers went out of range.
    #[error("the classifier's loss or gradient is not finite at step {step}; lower optimizer.lr")]
    NotFinite {
        /// The step.
        step: Step,
    },
    /// The system gave no thread.
    #[error("a thread of the classifier cannot be started: {0}: raise the limit of processes")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// It was told to stop.
    #[error("the classifier was stopped after step {step}")]
    Stopped {
        /// The last step.
        step: Step,
    },
}
