//! Batches mixed of two sources, and shards that go missing while a run goes on.

use crate::support::{EMOJI, Workspace, bounded_output, copy_shards, signal};
use rustix::process::Signal;
use serde_json::Value;

const STEPS: u64 = 60;

/// The emoji shards in two sources: the first four weigh as much as the other five.
fn mixed(run: String) -> String {
    let train = format!("train: '{EMOJI}/train/{{00000..00008}}.tar'");
    assert!(run.contains(&train), "{run}");
    let source = |shards: &str| format!("{{urls: '{EMOJI}/train/{{{shards}}}.tar', weight: 1}}");
    let sources = [source("00000..00003"), source("00004..00008")].join(", ");
    run.replace(&train, &format!("sources: [{sources}]"))
}

#[test]
fn a_run_of_two_sources_is_the_same_with_one_worker_and_after_a_stop() {
    let undisturbed = Workspace::new(STEPS, mixed);
    undisturbed.train(&["--no-eval"]);
    let alone = Workspace::new(STEPS, mixed);
    alone.train(&["--no-eval", "--workers", "1"]);
    assert_eq!(
        alone.metric("sample_hash"),
        undisturbed.metric("sample_hash")
    );

    let stopped = Workspace::new(STEPS, mixed);
    let front = stopped.start(&["--no-eval"]);
    stopped.wait_for_checkpoint_after(None);
    signal(front.id(), Signal::INT);
    assert!(bounded_output(front).status.success());
    stopped.train(&["--no-eval"]);
    assert_eq!(
        stopped.metric("train/loss"),
        undisturbed.metric("train/loss")
    );
    let (report, whole) = stopped.audit("runs/toy");
    assert!(whole, "{report}");
    let sources: Vec<&Value> = report["epochs"]
        .as_array()
        .expect("epochs")
        .iter()
        .map(|epoch| &epoch["source"])
        .collect();
    assert_eq!(sources, [0, 1]);
}

#[test]
fn a_shard_that_goes_missing_is_given_up_and_the_run_goes_on_and_on_after_a_stop() {
    // An epoch of 4,208 samples is 263 steps of 16.
    let workspace = Workspace::new(600, |run| {
        run.replace(&format!("{EMOJI}/train"), "shards").replace(
            "shuffle_window: 64",
            "shuffle_window: 64, max_skip_fraction: 0.2",
        )
    });
    let shards = workspace.dir.join("shards");
    copy_shards(&shards);
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_checkpoint_after(None);
    std::fs::remove_file(shards.join("00007.tar")).expect("removed");
    workspace.wait_for_records("shard_quarantined", 1);
    signal(front.id(), Signal::INT);
    assert!(bounded_output(front).status.success());
    let result = workspace.train(&["--no-eval"]);
    assert_eq!(result["step"], 600);
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
    let skipped = std::fs::read_to_string(workspace.run_dir().join("skipped.jsonl"));
    let skipped = skipped.expect("skipped.jsonl");
    assert!(skipped.lines().count() > 100);
    for line in skipped.lines() {
        let skip: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(skip["reason"], "quarantined_shard");
        assert!(
            skip["shard"]
                .as_str()
                .is_some_and(|url| url.ends_with("00007.tar"))
        );
    }
}
