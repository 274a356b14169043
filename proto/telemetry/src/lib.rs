//! What a run tells of itself: log lines, spans and metrics, and the ids by which its processes meet
//! in one trace.

mod background;
mod context;
mod exporter;
mod ids;
mod log;
pub mod metrics;
mod process;
mod rank;
mod settings;
mod span;

pub use context::{SpanContext, TRACEPARENT};
pub use exporter::{Attributes, Exporter};
pub use ids::{SpanId, TraceId};
pub use log::{LOG_FORMAT, init};
pub use opentelemetry::Value;
pub use opentelemetry::trace::SpanKind;
pub use process::{current, export, exporter, install, set_current};
pub use rank::{integer, rank_attributes, rank_context, rank_spans};
pub use settings::{Lookup, TelemetryError};
pub use span::{Span, since_1970};

/// An environment variable of this process.
#[must_use]
pub fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
