//! autotel-devtools: a receiver of OTLP traces that can be asked what it got.

use super::ports::Ports;
use super::process::ServerProcess;
use super::traces::Trace;
use super::{StartError, http, installed};
use serde::Deserialize;
use serde_json::{Value, json};
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
