//! A checkpoint is whole or it does not exist.

use crate::support::{Workspace, bounded_wait, checkpoint_step, signal};
use rustix::process::Signal;
use serde_json::Value;
use std::path::PathBuf;
use twinspan_testkit::harness::descendants;

fn checkpoint_directories(workspace: &Workspace) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace.run_dir().join("checkpoints")).expect("checkpoints");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[test]
fn retention_keeps_the_newest_and_the_milestones_alone() {
    let workspace = Workspace::new(60, |run| {
        run.replace("keep_last: 2", "keep_last: 1, keep_every: 20")
    });
    workspace.train(&[]);
    let directories = checkpoint_directories(&workspace);
    let steps: Vec<u64> = directories
        .iter()
        .filter_map(|path| checkpoint_step(path))
        .collect();
    assert!(steps.contains(&60), "{steps:?}");
    // A checkpoint whose turn comes before the last one is committed is left out, never moved.
    assert!(steps.iter().all(|step| step % 20 == 0), "{steps:?}");
    assert!(
        directories
            .iter()
            .all(|path| path.join("manifest.json").exists())
    );
}

#[test]
fn whichever_process_is_killed_every_manifest_names_whole_parts() {
    let workspace = Workspace::new(100_000, |run| {
        run.replace("every_steps: 10", "every_steps: 2")
    });
    for round in 0..6 {
        let begun = workspace.newest_checkpoint();
        let mut front = workspace.start(&[]);
        workspace.wait_for_checkpoint_after(begun);
        let mut processes = descendants(front.id());
        processes.push(front.id());
        let victim = processes[round % processes.len()];
        signal(victim, Signal::KILL);
        if victim != front.id() {
            // The run goes on without it.
            let step = workspace.newest_checkpoint();
            workspace.wait_for_checkpoint_after(step);
            signal(front.id(), Signal::KILL);
        }
        if front.try_wait().expect("a child").is_none() {
            bounded_wait(&mut front);
        }
        for directory in checkpoint_directories(&workspace) {
            let Ok(manifest) = std::fs::read(directory.join("manifest.json")) else {
                continue;
            };
            let manifest: Value = serde_json::from_slice(&manifest).expect("a whole manifest");
            for part in manifest["parts"].as_array().expect("parts") {
                let name = part["name"].as_str().expect("a name");
                // Retention may have begun with this one: manifest first, then parts.
                let size = std::fs::metadata(directory.join(name)).map(|file| file.len());
                let retired = !directory.join("manifest.json").exists();
                assert!(retired || size.is_ok_and(|size| Some(size) == part["bytes"].as_u64()));
            }
        }
    }
}

#[test]
fn a_checkpoint_whose_part_was_damaged_is_refused_by_name() {
    let workspace = Workspace::new(12, |run| run);
    workspace.train(&[]);
    let newest = checkpoint_directories(&workspace)
        .pop()
        .expect("a checkpoint");
    std::fs::write(newest.join("open_clip_model.safetensors"), b"garbage").expect("written");
    let directory = newest.to_str().expect("UTF-8");
    let emoji = crate::support::EMOJI;
    let output = workspace.output(&["eval", "zero-shot", directory, emoji]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("open_clip_model.safetensors"), "{errors}");
}

#[test]
fn a_log_with_a_hole_or_without_a_record_is_named_and_nothing_is_written() {
    let workspace = Workspace::new(60, |run| run);
    workspace.train(&["--no-eval"]);
    let log = workspace.run_dir().join("log");
    let (hole, aside) = (log.join("00000003.json"), workspace.dir.join("aside.json"));
    std::fs::rename(&hole, &aside).expect("moved");
    for command in [
        &["train", "run.yaml"][..],
        &["checkpoint", "list", "runs/toy"],
        &["data", "audit", "runs/toy"],
    ] {
        let output = workspace.output(command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command:?}: {errors}");
        let told = "00000003.json: the record is missing, and later ones are there";
        assert!(errors.contains(told), "{command:?}: {errors}");
        assert!(!hole.exists(), "{command:?} wrote into the hole");
    }
    std::fs::remove_dir_all(&log).expect("removed");
    std::fs::create_dir(workspace.run_dir().join("metrics")).unwrap_or_default();
    let segment = workspace
        .run_dir()
        .join("metrics/00000001-00000001-1.jsonl");
    std::fs::write(segment, "").expect("a segment");
    let output = workspace.output(&["train", "run.yaml"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("the run's log is missing"), "{errors}");
    assert!(!log.exists(), "a log was begun");
}
