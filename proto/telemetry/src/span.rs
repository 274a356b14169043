//! A finished span, with ids and times of the caller's own.

use crate::{SpanContext, SpanId, TraceId};
use opentelemetry::trace::{SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A finished span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Itself.
    pub span: SpanId,
    /// The span that it is a part of.
    pub parent: Option<SpanId>,
    /// Which side of a call it is.
    pub kind: SpanKind,
    /// What was done.
    pub name: Cow<'static, str>,
    /// Since 1970.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What else is to be said of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, where it did.
    pub error: Option<String>,
}

/// Now, since 1970.
#[must_use]
pub fn since_1970() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

impl Span {
    /// A span within this process, without attributes.
    pub fn internal(
        context: SpanContext,
        parent: Option<SpanId>,
        name: impl Into<Cow<'static, str>>,
        (start, duration): (Duration, Duration),
    ) -> Self {
        Self {
            trace: context.trace,
            span: context.span,
            parent,
            kind: SpanKind::Internal,
            name: name.into(),
            start,
            duration,
            attributes: Vec::new(),
            error: None,
        }
    }

    pub(crate) fn into_data(self) -> SpanData {
        let attributes = self.attributes.into_iter();
        let is_remote = self.kind == SpanKind::Server;
        let parent = self.parent.map(|SpanId(parent)| parent);
        SpanData {
            span_context: opentelemetry::trace::SpanContext::new(
                opentelemetry::TraceId::from_bytes(self.trace.0),
                opentelemetry::SpanId::from_bytes(self.span.0),
                TraceFlags::SAMPLED,
                false,
                TraceState::NONE,
            ),
            parent_span_id: parent.map_or(
                opentelemetry::SpanId::INVALID,
                opentelemetry::SpanId::from_bytes,
            ),
            parent_span_is_remote: is_remote,
            span_kind: self.kind,
            name: self.name,
            start_time: UNIX_EPOCH + self.start,
            end_time: UNIX_EPOCH + self.start + self.duration,
            attributes: attributes
                .map(|(key, value)| KeyValue::new(key, value))
                .collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: match self.error {
                Some(why) => Status::error(why),
                None => Status::Unset,
            },
            instrumentation_scope: InstrumentationScope::builder("twinspan")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}
