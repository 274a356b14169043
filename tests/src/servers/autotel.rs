//! autotel-devtools: a receiver of OTLP traces that can be asked what it got.

use super::ports::Ports;
use super::process::ServerProcess;
use super::{StartError, http, installed};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to pause between two questions.
const POLL_PAUSE: Duration = Duration::from_millis(100);
/// Traces an answer: the rest comes with further questions.
const PAGE: usize = 500;

/// A running autotel-devtools, which keeps traces in memory; killed on drop.
#[derive(Debug)]
pub struct Autotel {
    process: ServerProcess,
    ports: Ports,
}

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    traces: Vec<Trace>,
    next_cursor: Option<Value>,
}

impl Autotel {
    /// Starts a receiver that keeps its log in `directory`, which is made
    /// where it does not exist.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without the program, otherwise why it
    /// does not serve.
    pub fn start(directory: &Path) -> Result<Self, StartError> {
        let node = installed::find("Node", "python/bin/node")?;
        let script = "node_modules/autotel-devtools/dist/cli.js";
        let script = installed::find("autotel-devtools", script)?;
        let ports = Ports::reserve(2)?;
        fs::create_dir_all(directory)?;
        let (http_port, grpc_port) = (ports.get(0).to_string(), ports.get(1).to_string());
        let process = ServerProcess {
            name: "autotel-devtools",
            program: node,
            arguments: vec![
                script.into(),
                "--port".into(),
                http_port.into(),
                "--grpc-port".into(),
                grpc_port.into(),
            ],
            environment: Vec::new(),
            log: directory.join("autotel.log"),
            running: None,
        };
        let mut autotel = Self { process, ports };
        let addresses = [autotel.local(0), autotel.local(1)];
        autotel.process.start(|| {
            let healthy = http::status(addresses[0], "GET", "/healthz", b"");
            healthy.is_ok_and(|status| status == 200)
                && std::net::TcpStream::connect(addresses[1]).is_ok()
        })?;
        Ok(autotel)
    }

    /// Where OTLP over HTTP goes: `http://127.0.0.1:port`, without `/v1/traces`.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://{}", self.local(0))
    }

    /// Where OTLP over gRPC goes.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://{}", self.local(1))
    }

    /// Hands in an OTLP request of traces as JSON.
    ///
    /// # Errors
    /// What the receiver says when it refuses.
    pub fn post(&self, request: &Value) -> io::Result<()> {
        self.ask("/v1/traces", request).map(|_| ())
    }

    /// All traces that a query finds, such as `name = step AND twinspan.step = 20`
    /// (each whole, also those of whose spans only one fits); the empty query
    /// finds all.
    ///
    /// # Errors
    /// What the receiver says of a query that it cannot read.
    pub fn traces(&self, query: &str) -> io::Result<Vec<Trace>> {
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let mut request = json!({ "query": query, "limit": PAGE });
            if let Some(cursor) = cursor {
                request["cursor"] = cursor;
            }
            let answer = self.ask("/api/query/traces", &request)?;
            let answer: Answer = serde_json::from_slice(&answer)?;
            found.extend(answer.traces);
            cursor = answer.next_cursor;
            if cursor.is_none() {
                return Ok(found);
            }
        }
    }

    /// As [`Autotel::traces`], asked again until `enough` says so: exporters
    /// send what they have every few seconds.
    ///
    /// # Errors
    /// `TimedOut` with the names of what was found when that is never enough.
    pub fn wait_for_traces(
        &self,
        query: &str,
        limit: Duration,
        enough: impl Fn(&[Trace]) -> bool,
    ) -> io::Result<Vec<Trace>> {
        let started = Instant::now();
        loop {
            let traces = self.traces(query)?;
            if enough(&traces) {
                return Ok(traces);
            }
            if started.elapsed() >= limit {
                let spans = traces.iter().flat_map(|trace| &trace.spans);
                let names: Vec<&str> = spans.map(|span| span.name.as_str()).collect();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!(
                        "after {limit:?} {query:?} finds {} traces with the spans {names:?}",
                        traces.len()
                    ),
                ));
            }
            std::thread::sleep(POLL_PAUSE);
        }
    }

    fn ask(&self, target: &str, request: &Value) -> io::Result<Vec<u8>> {
        let body = serde_json::to_vec(request)?;
        match http::ask(self.local(0), "POST", target, &body)? {
            (200, answer) => Ok(answer),
            (status, answer) => Err(io::Error::other(format!(
                "autotel-devtools answers {status} to {request}: {}",
                String::from_utf8_lossy(&answer)
            ))),
        }
    }

    fn local(&self, place: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.get(place)).into()
    }
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
