//! What a run tells of itself, and where.

use super::reader::Section;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a run tells of itself, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// Every step whose number is a multiple of this is traced; 0: only those that are traced
    /// always, which are a generation's first and those that are slow, fail, or are saved.
    pub trace_every: u64,
    /// Where metrics go beside `metrics.jsonl`.
    pub report_to: Vec<ReportTo>,
    /// Where the coordinator's status page and metrics are served.
    pub http: PageAddress,
}

/// Where the status page is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageAddress {
    /// At this `host:port`; port 0 stands for a free one.
    At(String),
    /// Nowhere.
    Off,
}

/// Words that are no address of a page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither host:port nor off")]
pub struct NoAddress(String);

impl FromStr for PageAddress {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        match port {
            _ if text == "off" => Ok(Self::Off),
            Some(Ok(_)) => Ok(Self::At(text.to_owned())),
            _ => Err(NoAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for PageAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(address) => f.write_str(address),
            Self::Off => f.write_str("off"),
        }
    }
}

impl Serialize for PageAddress {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PageAddress {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Where metrics go beside `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportTo {
    /// Event files that TensorBoard reads, below the run.
    Tensorboard,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            trace_every: 50,
            report_to: Vec::new(),
            http: PageAddress::At("127.0.0.1:0".to_owned()),
        }
    }
}

pub(super) fn telemetry(mut section: Section<'_>) -> TelemetryConfig {
    let default = TelemetryConfig::default();
    let trace_every = section.integer("trace_every", default.trace_every);
    let http = section.parsed("http", "host:port or off");
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
        http: http.unwrap_or(default.http),
    }
}
