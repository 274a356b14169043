//! What this process tells and what it is doing at the moment: each process of a run is one rank, or
//! the coordinator.

use crate::{Exporter, Span, SpanContext};
use std::sync::{Mutex, OnceLock, PoisonError};

static EXPORTER: OnceLock<Exporter> = OnceLock::new();
static CURRENT: Mutex<Option<SpanContext>> = Mutex::new(None);

/// Spans go to this exporter from now on; the first one stays.
pub fn install(exporter: Exporter) {
    let _ = EXPORTER.set(exporter);
}

/// Where this process's spans go; nowhere before [`install`].
#[must_use]
pub fn exporter() -> Exporter {
    EXPORTER.get().cloned().unwrap_or_default()
}

/// Hands a span over.
pub fn export(span: Span) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.export(span);
    }
}

/// What this process does belongs to this span from now on: its log lines carry the ids, and so do
/// its calls.
pub fn set_current(context: Option<SpanContext>) {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = context;
}

/// What this process does at the moment.
#[must_use]
pub fn current() -> Option<SpanContext> {
    *CURRENT.lock().unwrap_or_else(PoisonError::into_inner)
}
