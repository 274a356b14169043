//! Traces as autotel-devtools gives them back.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// All spans that came with one trace id.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// In no order to rely on.
    pub spans: Vec<Span>,
}

/// One span.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// What it says it is.
    pub name: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// The span that it is a part of; none for the trace's root.
    pub parent_span_id: Option<String>,
    /// `INTERNAL`, `CLIENT`, `SERVER`, `PRODUCER` or `CONSUMER`.
    pub kind: String,
    /// The span's own and its resource's, which the receiver does not keep apart.
    pub attributes: BTreeMap<String, Value>,
    /// How it ended.
    pub status: Status,
    /// Milliseconds since 1970, as the receiver keeps them: right to a microsecond.
    start_time: f64,
    end_time: f64,
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// `UNSET`, `OK` or `ERROR`.
    pub code: String,
    /// What went wrong.
    pub message: Option<String>,
}

impl Trace {
    /// The spans without a parent: one, where the trace is whole.
    pub fn roots(&self) -> impl Iterator<Item = &Span> {
        self.spans
            .iter()
            .filter(|span| span.parent_span_id.is_none())
    }

    /// The spans whose parent is `span`, by their start.
    #[must_use]
    pub fn children(&self, span: &Span) -> Vec<&Span> {
        let of_span = |child: &&Span| child.parent_span_id.as_ref() == Some(&span.span_id);
        let mut children: Vec<&Span> = self.spans.iter().filter(of_span).collect();
        children.sort_by_key(|child| child.start_nanos());
        children
    }

    /// The spans with a parent that did not come.
    #[must_use]
    pub fn orphans(&self) -> Vec<&Span> {
        let is_here = |id: &String| self.spans.iter().any(|span| span.span_id == *id);
        self.spans
            .iter()
            .filter(|span| span.parent_span_id.as_ref().is_some_and(|id| !is_here(id)))
            .collect()
    }
}

impl Span {
    /// Nanoseconds since 1970, right to a microsecond.
    #[must_use]
    pub fn start_nanos(&self) -> u64 {
        (self.start_time * 1e6) as u64
    }

    /// Nanoseconds since 1970, right to a microsecond.
    #[must_use]
    pub fn end_nanos(&self) -> u64 {
        (self.end_time * 1e6) as u64
    }

    /// The resource's `service.name`, empty where there is none.
    #[must_use]
    pub fn service(&self) -> &str {
        self.text("service.name").unwrap_or_default()
    }

    /// An attribute that is text.
    #[must_use]
    pub fn text(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute)?.as_str()
    }

    /// An attribute that is a whole number, which some exporters send as text.
    #[must_use]
    pub fn integer(&self, attribute: &str) -> Option<i64> {
        let value = self.attributes.get(attribute)?;
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }
}
