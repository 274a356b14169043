//! Sends finished spans to a collector over OTLP. Nothing here ever waits for the collector: what
//! does not fit into the SDK's queue is dropped.

use crate::Span;
use crate::background::Background;
use crate::settings::{Lookup, Signal, TelemetryError, resource};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanProcessor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who tells: names and values.
pub type Attributes = Vec<(&'static str, String)>;

/// Exports spans, or does nothing where no collector is named. Clones share one queue.
#[derive(Clone, Default)]
pub struct Exporter(Option<Arc<Inner>>);

struct Inner {
    service: &'static str,
    endpoint: String,
    processor: Mutex<BatchSpanProcessor>,
    /// Whether the last batch was not taken.
    failing: Arc<AtomicBool>,
    /// gRPC's connection lives in it.
    runtime: Background,
}

impl Exporter {
    /// By the environment's standard variables; one that does nothing where no collector is named.
    ///
    /// # Errors
    /// The variables make no sense.
    pub fn from_env(
        service: &'static str,
        attributes: &Attributes,
        env: Lookup<'_>,
    ) -> Result<Self, TelemetryError> {
        let Some(endpoint) = Signal::Traces.endpoint(env)? else {
            return Ok(Self(None));
        };
        let failed = |error: std::io::Error| TelemetryError::Exporter(error.to_string());
        let runtime = Background::start().map_err(failed)?;
        let failing = Arc::new(AtomicBool::new(false));
        let resource = resource(service, attributes, env);
        let processor = processor(&runtime, &resource, &endpoint, &failing)?;
        Ok(Self(Some(Arc::new(Inner {
            service,
            endpoint,
            processor: Mutex::new(processor),
            failing,
            runtime,
        }))))
    }

    /// Whether anybody is told anything.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Hands a span over.
    pub fn export(&self, span: Span) {
        if let Some(inner) = &self.0 {
            inner.lock().on_end(span.into_data());
        }
    }

    /// From now on it is told by somebody else: another rank, another generation.
    pub fn set_resource(&self, attributes: &Attributes, env: Lookup<'_>) {
        let Some(inner) = &self.0 else {
            return;
        };
        let resource = resource(inner.service, attributes, env);
        let Inner {
            runtime,
            endpoint,
            failing,
            ..
        } = &**inner;
        match processor(runtime, &resource, endpoint, failing) {
            Ok(processor) => {
                let former = std::mem::replace(&mut *inner.lock(), processor);
                // It delivers what it has with the resource that it has.
                std::thread::spawn(move || former.shutdown_with_timeout(LAST_WORDS));
            }
            Err(error) => tracing::debug!(%error, "the resource stays"),
        }
    }

    /// Delivers what waits, for so long at the most.
    pub fn shutdown(&self, timeout: Duration) {
        if let Some(inner) = &self.0
            && let Err(error) = inner.lock().shutdown_with_timeout(timeout)
        {
            tracing::debug!(%error, "spans were not delivered");
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, BatchSpanProcessor> {
        self.processor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time for the spans of a generation that is over.
const LAST_WORDS: Duration = Duration::from_secs(10);

fn processor(
    runtime: &Background,
    resource: &Resource,
    endpoint: &str,
    failing: &Arc<AtomicBool>,
) -> Result<BatchSpanProcessor, TelemetryError> {
    let _entered = runtime.enter();
    let exporter = SpanExporter::builder().build();
    let exporter = exporter.map_err(|error| TelemetryError::Exporter(error.to_string()))?;
    let exporter = Watched {
        exporter,
        endpoint: endpoint.to_owned(),
        failing: Arc::clone(failing),
    };
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(resource);
    Ok(processor)
}

/// An exporter that says when the collector goes away and when it comes back, once each.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    endpoint: String,
    failing: Arc<AtomicBool>,
}

impl opentelemetry_sdk::trace::SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        let failed = result.is_err();
        if self.failing.swap(failed, Ordering::Relaxed) != failed {
            match &result {
                Err(error) => tracing::warn!(
                    "traces are not delivered to {}: {error}; training goes on without them, and \
                     trace.json keeps the sampled steps",
                    self.endpoint
                ),
                Ok(()) => tracing::info!("traces are delivered to {} again", self.endpoint),
            }
        }
        result
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
