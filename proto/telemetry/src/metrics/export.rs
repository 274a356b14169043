//! Metrics over OTLP: the newest values, pushed at the interval of `OTEL_METRIC_EXPORT_INTERVAL`.

use super::{ALL, Point};
use crate::background::Background;
use crate::exporter::Attributes;
use crate::settings::{Lookup, Signal, TelemetryError, resource};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, MeterProvider};
use opentelemetry_otlp::MetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

type Shared = Arc<Mutex<Vec<Point>>>;

/// Pushes metrics.
pub struct MetricExport {
    points: Shared,
    provider: SdkMeterProvider,
    /// gRPC's connection lives in it.
    _runtime: Background,
}

impl MetricExport {
    /// By the environment's standard variables; none where no collector is named.
    ///
    /// # Errors
    /// The variables make no sense.
    pub fn from_env(
        service: &'static str,
        attributes: &Attributes,
        env: Lookup<'_>,
    ) -> Result<Option<Self>, TelemetryError> {
        if Signal::Metrics.endpoint(env)?.is_none() {
            return Ok(None);
        }
        let failed = |error: String| TelemetryError::Exporter(error);
        let runtime = Background::start().map_err(|error| failed(error.to_string()))?;
        let exporter = {
            let _entered = runtime.enter();
            MetricExporter::builder().build()
        };
        let exporter = exporter.map_err(|error| failed(error.to_string()))?;
        let provider = SdkMeterProvider::builder()
            .with_reader(PeriodicReader::builder(exporter).build())
            .with_resource(resource(service, attributes, env))
            .build();
        let points = Shared::default();
        let meter = provider.meter("twinspan");
        for metric in ALL {
            let points = Arc::clone(&points);
            let observe = move |instrument: &dyn AsyncInstrument<f64>| {
                let points = points.lock().unwrap_or_else(PoisonError::into_inner);
                for point in points.iter().filter(|point| point.metric == *metric) {
                    let labels = point.labels.iter();
                    let labels: Vec<KeyValue> = labels
                        .map(|(name, value)| KeyValue::new(*name, value.clone()))
                        .collect();
                    instrument.observe(point.value, &labels);
                }
            };
            match metric.is_counter {
                true => drop(
                    meter
                        .f64_observable_counter(metric.name)
                        .with_unit(metric.unit)
                        .with_description(metric.help)
                        .with_callback(observe)
                        .build(),
                ),
                false => drop(
                    meter
                        .f64_observable_gauge(metric.name)
                        .with_unit(metric.unit)
                        .with_description(metric.help)
                        .with_callback(observe)
                        .build(),
                ),
            }
        }
        Ok(Some(Self {
            points,
            provider,
            _runtime: runtime,
        }))
    }

    /// The values that are pushed from now on.
    pub fn update(&self, points: Vec<Point>) {
        *self.points.lock().unwrap_or_else(PoisonError::into_inner) = points;
    }

    /// Pushes the last values, for so long at the most.
    pub fn shutdown(&self, timeout: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(timeout) {
            tracing::debug!(%error, "metrics were not delivered");
        }
    }
}
