use super::sample::{NOW, empty, formed, full, status, step, trace};
use super::{Document, Past, View, sample};
use serde_json::{Value, json};
use twinspan_coordinator_core::{Action, LoggedWorld, Outcome, Topic};
use twinspan_types::{Fact, Generation, Rank, RunState, SampleReason, Step};

fn shown(view: &mut View, document: Document) -> Value {
    let text = view.document(document, &status()).expect("is shown");
    serde_json::from_str(&text).expect("is JSON")
}

#[test]
fn the_run_is_shown_as_the_core_sees_it() {
    let run = shown(&mut full(), Document::Run);
    assert_eq!(run["state"], "training");
    assert_eq!((&run["world_size"], &run["step"]), (&json!(2), &json!(10)));
    assert_eq!(run["straggler"]["phase"], "decode");
    assert_eq!(run["evaluation"]["step"], 8);
    let left = run["seconds_left"].as_f64().expect("steps are made");
    assert!((left - 90.0 * 0.13).abs() < 1e-9);
}

#[test]
fn ranks_have_their_machines_lanes_and_times() {
    let ranks = shown(&mut full(), Document::Ranks);
    let rank = &ranks["ranks"][1];
    assert_eq!(
        (&rank["rank"], &rank["host"]),
        (&json!(1), &json!("node-1"))
    );
    assert_eq!(rank["lanes"], json!([1]));
    assert_eq!(rank["step_seconds"], 0.13);
    assert_eq!(rank["phases"], json!({"data_wait": 0.01, "backward": 0.1}));
    assert_eq!(rank["phase"], "compute");
}

#[test]
fn workers_before_the_first_generation_have_no_ranks() {
    let ranks = shown(&mut empty(), Document::Ranks);
    assert_eq!(ranks["ranks"][1]["rank"], Value::Null);
    assert_eq!(ranks["ranks"][1]["worker"], "1-1");
    assert_eq!(ranks["ranks"][1]["lanes"], json!([]));
    assert_eq!(shown(&mut empty(), Document::Run)["world_size"], 0);
}

#[test]
fn what_happens_is_told_once() {
    let mut view = full();
    let generation = "generation 2: 2 workers go on from step 8".to_owned();
    view.note(NOW, &Action::Tell(Topic::Formed, generation));
    view.logged(NOW, &formed(2, 8));
    let end = Outcome::Ended {
        step: Step(100),
        checkpoint: None,
    };
    view.note(NOW, &Action::Finish(end));
    let events = shown(&mut view, Document::Events);
    let events = events["events"].as_array().expect("a list");
    let kinds: Vec<&str> = events
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(
        kinds,
        [
            "generation",
            "evaluation",
            "lost",
            "checkpoint",
            "quarantine",
            "generation",
            "end"
        ]
    );
    assert_eq!(events[5]["text"], "generation 2: 2 workers, from step 8");
    assert_eq!(
        (&events[5]["step"], &events[5]["generation"]),
        (&json!(8), &json!(2))
    );
    assert_eq!(events[3]["text"], "checkpoint of step 8: 1.5 MB in 0.0 s");
    assert_eq!(view.lost, 1);
}

#[test]
fn a_generation_voids_what_was_told_behind_its_start() {
    let mut view = full();
    view.logged(NOW, &formed(2, 2));
    assert_eq!(shown(&mut view, Document::History)["step"], json!([1, 2]));
    assert_eq!(shown(&mut view, Document::Skips)["total"], 0);
    let redone = Action::AppendMetrics(Generation(2), vec![step(3)]);
    view.note(NOW, &redone);
    assert_eq!(
        shown(&mut view, Document::History)["step"],
        json!([1, 2, 3])
    );
}

#[test]
fn a_step_that_nobody_told_of_is_not_shown() {
    let mut view = full();
    let step = shown(&mut view, Document::Step(Step(10)));
    assert_eq!(step["ranks"][1]["host"], "node-1");
    assert_eq!(view.document(Document::Step(Step(9)), &status()), None);
}

#[test]
fn what_earlier_coordinators_left_is_shown() {
    let Fact::WorldFormed {
        generation,
        members,
        lanes,
        start,
    } = formed(1, 0)
    else {
        unreachable!("it is one");
    };
    let line = json!({
        "step": 1, "train/loss": 2.5, "train/scale": 14.0, "train/lr": 0.1, "train/grad_norm": 1.0,
        "train/samples_per_second": 10.0,
    });
    let past = Past {
        evaluations: vec![sample::evaluation(1)],
        skips: vec![sample::skip(1)],
        manifests: vec![sample::manifest(1)],
        world: Some(LoggedWorld {
            generation,
            members,
            lanes,
            start,
        }),
        ..Past::default()
    };
    let past = past.with_steps(&[line]);
    let mut view = View::new(&sample::config(), sample::index(), past).expect("enough samples");
    let history = shown(&mut view, Document::History);
    assert_eq!(history["loss"], json!([2.5]));
    assert_eq!(history["evaluations"][0]["step"], 1);
    assert_eq!(shown(&mut view, Document::Skips)["total"], 1);
    let checkpoints = shown(&mut view, Document::Checkpoints);
    assert_eq!(checkpoints["checkpoints"][0]["step"], 1);
    // Its generation goes on with the same ranks.
    let sampled = Some(SampleReason::Slow);
    view.note(NOW, &Action::Trace(Rank(1), vec![trace(2, sampled)]));
    assert_eq!(
        shown(&mut view, Document::Ranks)["ranks"][1]["step_seconds"],
        0.13
    );
    assert_eq!(shown(&mut view, Document::Lanes)["lanes"][1]["rank"], 1);
}

#[test]
fn an_ended_run_has_no_time_left() {
    let mut ended = status();
    ended.state = RunState::Ended;
    let text = full().document(Document::Run, &ended).expect("is shown");
    let run: Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(
        (&run["state"], &run["seconds_left"]),
        (&json!("ended"), &Value::Null)
    );
}
