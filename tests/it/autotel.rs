//! The receiver of traces gives back what it got.

use serde_json::json;
use std::time::Duration;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::servers::{Autotel, or_skip};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const STEP: &str = "b7ad6b7169203331";
const RANK: &str = "b7ad6b7169203332";
const START: u64 = 1_764_100_000_123_456_000;

#[test]
fn a_trace_that_was_sent_is_found_again_with_its_spans() {
    let run = TempRun::new().expect("a directory");
    let Some(autotel) = or_skip(Autotel::start(run.path())) else {
        return;
    };
    assert!(autotel.traces("").expect("an answer").is_empty());
    autotel
        .post(&json!({ "resourceSpans": [{
            "resource": { "attributes": [
                { "key": "service.name", "value": { "stringValue": "twinspan-worker" } },
            ] },
            "scopeSpans": [{ "spans": [
                {
                    "traceId": TRACE, "spanId": STEP, "name": "step", "kind": 1,
                    "startTimeUnixNano": START.to_string(),
                    "endTimeUnixNano": (START + 200_000_000).to_string(),
                    "attributes": [
                        { "key": "twinspan.step", "value": { "intValue": "120" } },
                        { "key": "twinspan.run", "value": { "stringValue": "quickstart" } },
                    ],
                },
                {
                    "traceId": TRACE, "spanId": RANK, "parentSpanId": STEP, "name": "rank", "kind": 1,
                    "startTimeUnixNano": (START + 1_000_000).to_string(),
                    "endTimeUnixNano": (START + 100_000_000).to_string(),
                    "status": { "code": 2, "message": "lost" },
                },
            ] }],
        }] }))
        .expect("taken");

    let query = "name = step AND twinspan.step = 120";
    let traces = autotel
        .wait_for_traces(query, Duration::from_secs(20), |found| !found.is_empty())
        .expect("found");
    let [trace] = &traces[..] else {
        panic!("{traces:?}")
    };
    assert_eq!(trace.trace_id, TRACE);
    assert!(trace.orphans().is_empty());
    let step = trace.roots().next().expect("a root");
    assert_eq!((step.name.as_str(), step.span_id.as_str()), ("step", STEP));
    assert_eq!(step.service(), "twinspan-worker");
    assert_eq!(step.integer("twinspan.step"), Some(120));
    assert_eq!(step.text("twinspan.run"), Some("quickstart"));
    assert!(step.start_nanos().abs_diff(START) < 1_000);
    assert!(step.end_nanos().abs_diff(START + 200_000_000) < 1_000);
    let children = trace.children(step);
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].span_id, RANK);
    assert_eq!(children[0].parent_span_id.as_deref(), Some(STEP));
    assert_eq!(children[0].status.code, "ERROR");

    assert!(
        autotel
            .traces("twinspan.step = 121")
            .expect("an answer")
            .is_empty()
    );
    let error = autotel.traces("name =").expect_err("no query");
    assert!(error.to_string().contains("400"), "{error}");
}
