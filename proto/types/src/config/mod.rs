//! The run file: YAML in, a checked [`RunConfig`] or every fault at once out.

mod augmentation;
mod captions;
mod compute;
mod data;
mod eval;
mod model;
mod parse;
mod reader;
mod sections;
mod telemetry;

pub use augmentation::AugmentationConfig;
pub use captions::Captions;
pub use compute::{CollectiveChoice, DeviceChoice, NoDevice, Precision, WorkerSection};
pub use eval::{EvalConfig, EvalSource, EvalTask};
pub use model::{LockImage, LockText, ModelSection};
pub use parse::expand_braces;
pub use parse::url_of_path;
pub use sections::{
    CacheConfig, CheckpointConfig, ClusterConfig, DataConfig, DataSource, OptimizerConfig,
    RunConfig, Schedule, TrainConfig,
};
pub use telemetry::{NoAddress, PageAddress, ReportTo, TelemetryConfig};

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with a run file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `data.lanes`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Why a run file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {source}; give the path of a run file, such as configs/quickstart.yaml", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not YAML.
    #[error("{file}: not a YAML mapping: {detail}", file = file.display())]
    NotYaml {
        /// The file.
        file: PathBuf,
        /// The parser's words, with line and column.
        detail: String,
    },
    /// The file is YAML, but values in it are wrong.
    #[error("{}", list(file, faults))]
    Faults {
        /// The file.
        file: PathBuf,
        /// All of them.
        faults: Vec<Fault>,
    },
}

fn list(file: &Path, faults: &[Fault]) -> String {
    let count = match faults.len() {
        1 => "1 fault".to_owned(),
        n => format!("{n} faults"),
    };
    let mut text = format!("{}: {count}", file.display());
    for fault in faults {
        text.push_str(&format!("\n  {fault}"));
    }
    text
}

/// The only place that reads with the YAML library. Its own values come first: they refuse a key
/// that stands twice.
fn parse_yaml(text: &str) -> Result<serde_json::Value, String> {
    let yaml: serde_yaml::Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    serde_json::to_value(yaml).map_err(|error| error.to_string())
}

/// Writes a configuration as the YAML of `run.yaml`.
///
/// # Errors
/// When a value has no YAML form, which no [`RunConfig`] has.
pub fn to_yaml(config: &RunConfig) -> Result<String, String> {
    serde_yaml::to_string(config).map_err(|error| error.to_string())
}
