//! Samples that cannot be used are passed over and recorded; too many of them stop the run.

use crate::support::{EMOJI, Workspace, copy_shards};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Keys of the samples of shard 00000 that are damaged below, and why they cannot be used.
const DAMAGED: usize = 3;

/// Offset and length of the content of every member whose name ends in `extension`, with its key.
fn members(tar: &[u8], extension: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 512 <= tar.len() && tar[at] != 0 {
        let header = &tar[at..at + 512];
        let text = |range: std::ops::Range<usize>| {
            let field = header[range]
                .split(|byte| *byte == 0 || *byte == b' ')
                .next();
            String::from_utf8_lossy(field.unwrap_or_default()).into_owned()
        };
        let size = usize::from_str_radix(&text(124..136), 8).expect("a size");
        if let Some(key) = text(0..100).strip_suffix(extension) {
            found.push((key.to_owned(), at + 512, size));
        }
        at += 512 + size.next_multiple_of(512);
    }
    found
}

/// The emoji shards in a folder of their own: pictures and a caption of the first one damaged, and
/// the end of the last one cut off. Gives the keys that were damaged.
fn damaged_shards(folder: &Path) -> BTreeSet<String> {
    copy_shards(folder);
    let first = folder.join("00000.tar");
    let mut tar = std::fs::read(&first).expect("a shard");
    let mut keys = BTreeSet::new();
    for (key, at, size) in members(&tar, ".jpg").into_iter().take(DAMAGED) {
        tar[at + 40..at + size].fill(0xAA);
        keys.insert(key);
    }
    let (key, at, _) = members(&tar, ".txt").remove(DAMAGED);
    tar[at] = 0xFF;
    keys.insert(key);
    std::fs::write(&first, tar).expect("written");
    let last = folder.join("00008.tar");
    let tar = std::fs::read(&last).expect("a shard");
    std::fs::write(&last, &tar[..tar.len() / 2]).expect("written");
    keys
}

fn skipping(max_skip_fraction: &str, steps: u64) -> (Workspace, BTreeSet<String>) {
    let workspace = Workspace::new(steps, |run| {
        run.replace(&format!("{EMOJI}/train"), "shards").replace(
            "shuffle_window: 64",
            &format!("shuffle_window: 64, max_skip_fraction: {max_skip_fraction}"),
        )
    });
    let keys = damaged_shards(&workspace.dir.join("shards"));
    (workspace, keys)
}

#[test]
fn damaged_samples_are_passed_over_and_recorded_by_key_and_reason() {
    // 4,208 samples in batches of 16: an epoch is 263 steps.
    let (workspace, keys) = skipping("0.1", 270);
    let result = workspace.train(&[]);
    let text = std::fs::read_to_string(workspace.run_dir().join("skipped.jsonl"));
    let text = text.expect("skipped.jsonl");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let of = |reason: &str| -> BTreeSet<String> {
        let lines = lines.iter().filter(|line| line["reason"] == reason);
        lines
            .map(|line| line["key"].as_str().expect("a key").to_owned())
            .collect()
    };
    let found: BTreeSet<String> = &of("corrupt_image") | &of("undecodable_text");
    assert_eq!(found, keys);
    assert_eq!(of("undecodable_text").len(), 1);
    let cut = of("truncated_shard").len();
    assert!(cut > 5, "{cut} samples of the shard that was cut");
    assert_eq!(result["skipped"], (keys.len() + cut) as u64);
    assert_eq!(workspace.metric("train/loss").len(), 270);

    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
    let first = &report["epochs"][0];
    assert_eq!(
        first["used"].as_u64().map(|used| used + cut as u64 + 4),
        Some(4208)
    );
    // A line that is lost is found.
    let segments = workspace.run_dir().join("metrics");
    let segment = std::fs::read_dir(segments).expect("segments").flatten();
    let segment = segment.map(|entry| entry.path()).min().expect("a segment");
    let lines = std::fs::read_to_string(&segment).expect("lines");
    let (first, rest) = lines.split_once('\n').expect("lines");
    assert!(first.contains("\"step\":1,"), "{first}");
    std::fs::write(&segment, rest).expect("written");
    let (report, whole) = workspace.audit("runs/toy");
    assert!(
        !whole && report["faults"][0]["fault"] == "missing_step",
        "{report}"
    );
}

#[test]
fn a_run_whose_skips_pass_the_limit_stops_with_the_list() {
    let (workspace, _) = skipping("0.0001", 270);
    let output = workspace.output(&["train", "run.yaml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("data.max_skip_fraction"), "{errors}");
    assert!(errors.contains(".tar: "), "samples are named: {errors}");
}
