//! A rank that holds the others up is named, with what it is slow at.

use crate::support::{BOUND, Workspace, bounded_wait, coordinator};
use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::Instant;

/// Steps within which it must be named.
const SOON: u64 = 10;

fn worker(workspace: &Workspace, url: &str, further: &[&str]) -> Child {
    let mut arguments = vec!["worker", "--coordinator", url, "--threads", "1"];
    arguments.extend_from_slice(further);
    let mut command = workspace.command(&arguments);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.expect("the binary starts")
}

fn status(workspace: &Workspace, url: &str) -> Value {
    let output = workspace.output(&["status", url, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn a_rank_that_decodes_slowly_is_named_with_decode_within_ten_steps() {
    let workspace = Workspace::new(100_000, |run| run.replace("workers: 2", "workers: 3"));
    let (mut front, url) = coordinator(&workspace);
    let mut workers = [
        worker(&workspace, &url, &[]),
        worker(&workspace, &url, &[]),
        // Four to eight samples a step take it 0.2 to 0.4 s longer.
        worker(&workspace, &url, &["--decode-delay", "0.05"]),
    ];
    let slow = u64::from(workers[2].id());
    let start = Instant::now();
    let told = loop {
        let told = status(&workspace, &url);
        if !told["straggler"].is_null() {
            break told;
        }
        assert!(start.elapsed() < BOUND, "nobody was named: {told}");
    };
    let straggler = &told["straggler"];
    let ranks = told["ranks"].as_array().expect("ranks");
    let rank = ranks.iter().find(|rank| rank["rank"] == straggler["rank"]);
    assert_eq!(rank.expect("a rank")["pid"].as_u64(), Some(slow), "{told}");
    assert_eq!(straggler["phase"], "decode", "{told}");
    for child in workers.iter_mut().chain([&mut front]) {
        let _ = child.kill();
        bounded_wait(child);
    }
    let lines = std::io::read_to_string(front.stderr.take().expect("its log")).expect("text");
    let line = lines
        .lines()
        .find(|line| line.contains("holds the others up"));
    let line = line.unwrap_or_else(|| panic!("no such line in {lines}"));
    let steps = line.split_once("steps ").and_then(|(_, rest)| {
        let (from, rest) = rest.split_once(" to ")?;
        let (through, _) = rest.split_once(';')?;
        Some((from.parse::<u64>().ok()?, through.parse::<u64>().ok()?))
    });
    let (_, through) = steps.unwrap_or_else(|| panic!("no steps in {line}"));
    assert!(through <= SOON, "{line}");
    assert!(line.contains("decode takes it"), "{line}");
}
