//! What a coordinator says to the process that started it.

use serde::{Deserialize, Serialize};

/// What the coordinator prints on standard output, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// It takes workers.
    Listening {
        /// `http://host:port`.
        url: String,
        /// The status page's URL, where there is one.
        #[serde(default)]
        page: Option<String>,
    },
    /// The run reached its last step.
    Ended {
        /// That step.
        step: u64,
        /// The final checkpoint's directory, relative to the run.
        checkpoint: Option<String>,
    },
    /// The run was stopped in order.
    Stopped {
        /// The last committed step.
        step: u64,
        /// The newest checkpoint's directory, relative to the run.
        checkpoint: Option<String>,
    },
    /// The run cannot go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

impl Report {
    /// The report in words, for the run at `url`.
    pub fn describe(&self, url: &str) -> String {
        match self {
            Self::Listening { url, .. } => format!("listening at {url}"),
            Self::Ended { step, .. } => format!("ended at step {step}"),
            Self::Stopped {
                step,
                checkpoint: Some(checkpoint),
            } => format!(
                "stopped after step {step}; checkpoint {url}/{checkpoint}; the same command goes on from there"
            ),
            Self::Stopped {
                step,
                checkpoint: None,
            } => {
                format!("stopped after step {step}, before the first checkpoint")
            }
            Self::Failed { reason } => reason.clone(),
        }
    }
}
