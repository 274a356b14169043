//! What a run tells of itself, and where.

use super::reader::Section;
use serde::{Deserialize, Serialize};

/// What a run tells of itself, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// Every step whose number is a multiple of this is traced; 0: only those that are traced
    /// always, which are a generation's first and those that are slow, fail, or are saved.
    pub trace_every: u64,
    /// Where metrics go beside `metrics.jsonl`.
    pub report_to: Vec<ReportTo>,
    /// `host:port` of the coordinator's status page and metrics; none for no page.
    pub http: Option<String>,
}

/// Where metrics go beside `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// Event files that TensorBoard reads, below the run.
    Tensorboard,
}

/// What stands for no status page.
pub const NO_PAGE: &str = "off";

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            trace_every: 50,
            report_to: Vec::new(),
            http: Some("127.0.0.1:0".to_owned()),
        }
    }
}

impl TelemetryConfig {
    /// The page's address as it is written: `host:port`, or `off`. The error says what it must be.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse_http(text: &str) -> Result<Option<String>, String> {
        if text == NO_PAGE {
            return Ok(None);
        }
        let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(Some(text.to_owned())),
            _ => Err(format!("{text:?} is neither host:port nor {NO_PAGE}")),
        }
    }
}

pub(super) fn telemetry(mut section: Section<'_>) -> TelemetryConfig {
    let default = TelemetryConfig::default();
    let trace_every = section.integer("trace_every", default.trace_every);
    let http = match section
        .string("http")
        .map(|text| TelemetryConfig::parse_http(&text))
    {
        None => default.http,
        Some(Ok(http)) => http,
        Some(Err(message)) => {
            section.fault("http", message);
            default.http
        }
    };
    let report_to = match section.take("report_to") {
        None => default.report_to,
        Some(list) => serde_json::from_value(list).unwrap_or_else(|_| {
            section.fault("report_to", "is not a list of: tensorboard");
            Vec::new()
        }),
    };
    section.finish();
    TelemetryConfig {
        trace_every,
        report_to,
        http,
    }
}
