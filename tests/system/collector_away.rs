//! A collector that is dead, or takes calls and never answers, costs a run nothing.

use crate::support::Workspace;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const STEPS: u64 = 40;

/// Time beyond a run's own that its processes may take for their last words to a collector.
const LAST_WORDS: Duration = Duration::from_secs(20);

/// Every step is traced.
fn workspace() -> Workspace {
    Workspace::new(STEPS, |run| format!("{run}telemetry: {{trace_every: 1}}\n"))
}

fn told_to(endpoint: &str, protocol: &str) -> Workspace {
    let mut workspace = workspace();
    workspace.env.extend([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
    ]);
    workspace
}

/// The run ends as one without a collector: the same samples and losses, every step traced in its
/// own file.
fn assert_undisturbed(workspace: &Workspace, calm: &Workspace) {
    let started = Instant::now();
    let result = workspace.train(&["--no-eval"]);
    let whole = started.elapsed();
    workspace.assert_same_as(calm);
    // What it took beyond its steps, with the processes' start.
    let training = Duration::from_secs_f64(result["training_seconds"].as_f64().expect("seconds"));
    assert!(whole < training + LAST_WORDS, "{whole:?} for {training:?}");
    let trace = std::fs::read_to_string(workspace.run_dir().join("trace.json"));
    let trace: serde_json::Value = serde_json::from_str(&trace.expect("trace.json")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    for step in 1..=STEPS {
        let name = format!("step {step}");
        let ranks = events.iter().filter(|event| event["name"] == name.as_str());
        assert_eq!(ranks.count(), 2, "{name}");
    }
}

#[test]
fn a_collector_that_is_dead_costs_a_run_nothing() {
    let calm = workspace();
    calm.train(&["--no-eval"]);
    // Nobody listens where somebody has just ceased to.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let dead = format!("http://{}", listener.local_addr().expect("its address"));
    drop(listener);
    for protocol in ["http/protobuf", "grpc"] {
        assert_undisturbed(&told_to(&dead, protocol), &calm);
    }
}

#[test]
fn a_collector_that_never_answers_costs_a_run_nothing() {
    let calm = workspace();
    calm.train(&["--no-eval"]);
    // Connections wait in the listener's queue for ever.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let hanging = format!("http://{}", listener.local_addr().expect("its address"));
    for protocol in ["http/protobuf", "grpc"] {
        assert_undisturbed(&told_to(&hanging, protocol), &calm);
    }
}

#[test]
fn what_no_collector_can_be_told_by_is_named_before_anything_is_written() {
    for (endpoint, protocol, named) in [
        (
            "http://127.0.0.1:4318",
            "http/json",
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"http/json\"",
        ),
        (
            "nonsense",
            "grpc",
            "OTEL_EXPORTER_OTLP_ENDPOINT is \"nonsense\"",
        ),
    ] {
        let workspace = told_to(endpoint, protocol);
        let output = workspace.output(&["train", "run.yaml"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(named), "{errors}");
        assert!(!workspace.dir.join("runs").exists());
    }
}
