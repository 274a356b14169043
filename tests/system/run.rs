//! A run from start to end.

use crate::support::{EMOJI, Workspace, bounded_wait};
use serde_json::Value;

#[test]
fn a_run_of_two_workers_trains_checkpoints_evaluates_and_writes_its_metrics() {
    let workspace = Workspace::new(25, |run| {
        let sets = format!(
            "[{{name: emoji, zero_shot: '{EMOJI}/'}}, \
              {{name: pairs, retrieval: '{EMOJI}/test/{{0..2}}.tar'}}]"
        );
        format!("{run}\neval: {{sets: {sets}}}\n")
    });
    let result = workspace.train(&[]);
    assert_eq!(result["step"], 25);
    let figures = &result["evaluation"];
    assert_eq!(figures["step"], 25);
    assert!(figures["val/image_to_text_R@1"].is_number(), "{figures}");
    let checkpoint = result["checkpoint"].as_str().expect("a checkpoint");
    assert!(
        checkpoint.contains("/checkpoints/step-00000025-"),
        "{checkpoint}"
    );

    let losses = workspace.metric("train/loss");
    let steps: Vec<u64> = losses.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, (1..=25).collect::<Vec<_>>());
    assert!(
        losses
            .iter()
            .all(|(_, loss)| loss.as_f64().is_some_and(f64::is_finite))
    );

    let again = workspace.output(&["eval", "zero-shot", "runs/toy", EMOJI, "--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!(
        again["zeroshot-val-top1"],
        figures["val/emoji-zeroshot-val-top1"]
    );
}

#[test]
fn a_finished_run_is_not_trained_again() {
    let workspace = Workspace::new(12, |run| run);
    workspace.train(&[]);
    let before = workspace.metric("train/loss");
    let result = workspace.train(&[]);
    assert_eq!(result["step"], 12);
    assert_eq!(result["loss"], before[11].1, "the last step's");
    assert_eq!(workspace.metric("train/loss"), before);
}

#[test]
fn a_reader_that_goes_away_stops_no_run() {
    let workspace = Workspace::new(60, |run| run);
    let mut front = workspace.start(&["--no-eval"]);
    drop(front.stderr.take());
    assert_eq!(bounded_wait(&mut front).code(), Some(0));
    assert_eq!(workspace.metric("train/loss").len(), 60);
}

#[test]
fn one_worker_and_two_see_the_same_samples_and_the_same_curve() {
    let two = Workspace::new(12, |run| run);
    let one = Workspace::new(12, |run| run);
    two.train(&[]);
    one.train(&["--workers", "1"]);
    assert_eq!(one.metric("sample_hash"), two.metric("sample_hash"));
    for ((step, a), (_, b)) in one
        .metric("train/loss")
        .iter()
        .zip(two.metric("train/loss"))
    {
        let (a, b) = (a.as_f64().expect("a loss"), b.as_f64().expect("a loss"));
        assert!((a - b).abs() < 1e-4, "step {step}: {a} and {b}");
    }
}
