//! Metrics as text, for Prometheus to scrape.

use super::{ALL, Point};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Points of one moment.
#[derive(Debug)]
struct Points(Vec<Point>);

impl Collector for Points {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in ALL {
            let mut points = self
                .0
                .iter()
                .filter(|point| point.metric == *metric)
                .peekable();
            if points.peek().is_none() {
                continue;
            }
            let kind = match metric.is_counter {
                true => MetricType::Counter,
                false => MetricType::Gauge,
            };
            let name = metric.prometheus_name();
            let mut family = encoder.encode_descriptor(&name, metric.help, None, kind)?;
            for point in points {
                let labels = point.labels.iter();
                let labels: Vec<(&str, String)> = labels
                    .map(|(name, value)| (*name, escaped(value)))
                    .collect();
                let one = family.encode_family(&labels)?;
                match metric.is_counter {
                    true => ConstCounter::new(point.value).encode(one)?,
                    false => ConstGauge::new(point.value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

/// A label's value as the format has it, which the encoder leaves to its caller.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All points in the OpenMetrics text format.
#[must_use]
pub fn prometheus_text(points: Vec<Point>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Points(points)));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

#[cfg(test)]
mod tests {
    use super::super::*;

    #[test]
    fn a_point_has_its_name_unit_and_labels_and_hostile_names_are_escaped() {
        let run = ("run", "a\"b\\c\nd".to_owned());
        let text = prometheus_text(vec![
            STEP_DURATION.point(std::slice::from_ref(&run), 0.25),
            RANK_WIRE.point(&[run.clone(), ("direction", "sent".to_owned())], 7.0),
            RANK_WIRE.point(&[run, ("direction", "received".to_owned())], 8.0),
        ]);
        for line in [
            "# TYPE twinspan_step_duration_seconds gauge",
            "twinspan_step_duration_seconds{run=\"a\\\"b\\\\c\\nd\"} 0.25",
            "# TYPE twinspan_rank_wire_bytes counter",
            "twinspan_rank_wire_bytes_total{run=\"a\\\"b\\\\c\\nd\",direction=\"sent\"} 7.0",
            "# EOF",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("# HELP twinspan_rank_wire_bytes").count(), 1);
    }

    #[test]
    fn every_metric_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> =
            ALL.iter().map(|metric| metric.prometheus_name()).collect();
        assert_eq!(names.len(), ALL.len());
    }
}
