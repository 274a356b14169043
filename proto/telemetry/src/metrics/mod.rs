//! Every metric of a run: its name, its unit and what it means, once for all the ways in which it is
//! told.

mod export;
mod prometheus;
mod table;

pub use export::MetricExport;
pub use prometheus::{CONTENT_TYPE, prometheus_text};
pub use table::*;

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// As OpenTelemetry has it: words with dots.
    pub name: &'static str,
    /// Of the Unified Code for Units of Measure.
    pub unit: &'static str,
    /// What it means.
    pub help: &'static str,
    /// Whether it only rises.
    pub is_counter: bool,
}

/// A metric's value, now.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Of what.
    pub metric: &'static Metric,
    /// Of which of them.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

impl Metric {
    /// Its value, now.
    #[must_use]
    pub fn point(&'static self, labels: &[(&'static str, String)], value: f64) -> Point {
        Point {
            metric: self,
            labels: labels.to_vec(),
            value,
        }
    }

    /// As Prometheus has it, by the rules of
    /// <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>, without
    /// the `_total` of counters.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let name = self.name.replace('.', "_");
        match self.unit {
            "s" => format!("{name}_seconds"),
            "By" => format!("{name}_bytes"),
            _ => name,
        }
    }
}
