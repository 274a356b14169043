//! Traces over a real receiver: one for each sampled step, with all ranks and the coordinator in it.

use crate::support::{BOUND, Workspace};
use std::collections::BTreeSet;
use twinspan_telemetry::TraceId;
use twinspan_testkit::servers::{Autotel, Span, Trace, or_skip};
use twinspan_types::{Generation, Step};

const STEPS: u64 = 20;

/// The toy run with three workers whose processes tell of every fifth step.
fn traced(variables: &[(&'static str, String)]) -> Workspace {
    let mut workspace =
        Workspace::new(STEPS, |run| format!("{run}telemetry: {{trace_every: 5}}\n"));
    workspace.env.extend_from_slice(variables);
    // What is told is sent soon.
    workspace
        .env
        .push(("OTEL_BSP_SCHEDULE_DELAY", "200".to_owned()));
    workspace.train(&["--workers", "3", "--no-eval"]);
    workspace
}

fn run_url(workspace: &Workspace) -> String {
    format!("file://{}", workspace.run_dir().display())
}

/// The trace with an id, once `spans` of them have come.
fn trace(receiver: &Autotel, id: TraceId) -> Trace {
    let id = id.to_string();
    let whole = |traces: &[Trace]| {
        let found = traces.iter().find(|trace| trace.trace_id == id);
        found.is_some_and(|trace| trace.roots().count() == 1 && trace.orphans().is_empty())
    };
    let traces = receiver.wait_for_traces("", BOUND, whole);
    let traces = traces.unwrap_or_else(|error| panic!("{id}: {error}"));
    traces
        .into_iter()
        .find(|trace| trace.trace_id == id)
        .expect("it was there")
}

/// What a rank's span says of who tells.
fn assert_told_by_its_rank(span: &Span, rank: i64) {
    assert_eq!(span.service(), "twinspan-worker");
    assert_eq!(span.integer("twinspan.rank"), Some(rank));
    assert_eq!(span.integer("twinspan.generation"), Some(1));
    for attribute in ["twinspan.run", "host.name", "twinspan.device"] {
        assert!(span.text(attribute).is_some(), "{attribute} of {span:?}");
    }
}

/// All three ranks with their phases, and what they cover of each.
fn assert_whole(trace: &Trace, step: u64) {
    let root = trace.roots().next().expect("a root");
    assert_eq!(
        (root.name.as_str(), root.service()),
        ("step", "twinspan-coordinator")
    );
    assert_eq!(root.integer("twinspan.step"), Some(step as i64));
    let ranks = trace.children(root);
    let mut ranks: Vec<_> = ranks.iter().filter(|span| span.name == "rank").collect();
    ranks.sort_by_key(|span| span.integer("twinspan.rank"));
    assert_eq!(ranks.len(), 3, "{trace:?}");
    for (number, rank) in (0..).zip(ranks) {
        assert_told_by_its_rank(rank, number);
        assert!(root.start_nanos() <= rank.start_nanos() && rank.end_nanos() <= root.end_nanos());
        let phases = trace.children(rank);
        let phases: Vec<_> = phases
            .iter()
            .filter(|span| span.kind == "INTERNAL" && span.name != "decode")
            .filter(|span| span.name != "checkpoint upload")
            .collect();
        let covered: u64 = phases
            .iter()
            .map(|span| span.end_nanos() - span.start_nanos())
            .sum();
        let length = rank.end_nanos() - rank.start_nanos();
        assert!(
            covered * 100 >= length * 95,
            "{covered} of {length} ns: {phases:?}"
        );
        let names: BTreeSet<_> = phases.iter().map(|span| span.name.as_str()).collect();
        for phase in [
            "data_wait",
            "image_forward",
            "text_forward",
            "all_gather",
            "loss",
            "backward",
            "all_reduce",
            "optimizer",
            "commit",
        ] {
            assert!(
                names.contains(phase),
                "no {phase} in step {step} of rank {number}"
            );
        }
    }
}

#[test]
fn every_sampled_step_is_one_trace_of_all_ranks_and_the_coordinator() {
    let directory = twinspan_testkit::harness::TempRun::new().expect("a directory");
    let Some(receiver) = or_skip(Autotel::start(directory.path())) else {
        return;
    };
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.http_endpoint());
    let workspace = traced(&[endpoint]);
    let url = run_url(&workspace);
    for step in [1, 5, 10, 15, 20] {
        assert_whole(&trace(&receiver, TraceId::of_step(&url, Step(step))), step);
    }
    // Step 10 is saved: the parts and the manifest are in its trace.
    let saved = trace(&receiver, TraceId::of_step(&url, Step(10)));
    let named = |name: &str| saved.spans.iter().filter(|span| span.name == name).count();
    assert_eq!((named("checkpoint upload"), named("manifest")), (3, 1));
    // The way into the generation is a trace of its own.
    let entry = trace(&receiver, TraceId::of_generation(&url, Generation(1)));
    let root = entry.roots().next().expect("a root");
    assert_eq!(root.name, "generation");
    let names: BTreeSet<_> = entry.spans.iter().map(|span| span.name.as_str()).collect();
    for part in ["record", "join", "connect", "heal", "first_step"] {
        assert!(names.contains(part), "no {part} in {names:?}");
    }
    // Calls of a traced step, on both sides.
    let traces = receiver.traces("").expect("all traces");
    let calls = traces.iter().flat_map(|trace| {
        let is_call = |span: &&Span| span.name == "twinspan.v1.Coordinator/Report";
        let calls = trace.spans.iter().filter(is_call);
        calls.map(move |span| (trace, span))
    });
    let answered = calls.filter(|(trace, call)| {
        let answers = trace.children(call);
        call.kind == "CLIENT" && answers.iter().any(|answer| answer.kind == "SERVER")
    });
    assert!(answered.count() > 0, "no call with its answer");
    // No step is traced that is not to be.
    let steps: BTreeSet<_> = traces
        .iter()
        .filter(|trace| trace.roots().any(|root| root.name == "step"))
        .filter_map(|trace| trace.roots().next()?.integer("twinspan.step"))
        .collect();
    assert!(steps.len() < STEPS as usize, "{steps:?}");
}

#[test]
fn traces_go_over_grpc_where_that_is_asked_for() {
    let directory = twinspan_testkit::harness::TempRun::new().expect("a directory");
    let Some(receiver) = or_skip(Autotel::start(directory.path())) else {
        return;
    };
    let workspace = traced(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.grpc_endpoint()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
    ]);
    let id = TraceId::of_step(&run_url(&workspace), Step(15));
    assert_whole(&trace(&receiver, id), 15);
}
