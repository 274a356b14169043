//! `twinspan eval robustness`: both trainings, the table, and what stops it.

use crate::support::{EMOJI, Workspace, bounded_wait, signal};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

fn arguments<'a>(test: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["eval", "robustness", "run.yaml", "--test", test], more].concat()
}

/// What a refused experiment says; nothing is written.
fn refused(workspace: &Workspace, test: &str, more: &[&str]) -> String {
    let output = workspace.output(&arguments(test, more));
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(!workspace.dir.join("runs").exists(), "{errors}");
    errors
}

/// A test set in a folder of its own, whose shard is `shard`.
fn test_set(workspace: &Workspace, shard: &[u8]) {
    let set = workspace.dir.join("set");
    fs::create_dir_all(set.join("test")).expect("a folder");
    for file in ["classnames.txt", "zeroshot_classification_templates.txt"] {
        fs::copy(format!("{EMOJI}/{file}"), set.join(file)).expect("copied");
    }
    fs::write(set.join("test/0.tar"), shard).expect("written");
}

fn of<'v>(report: &'v Value, model: usize, style: &str) -> &'v Value {
    &report["models"][model][style]
}

#[test]
fn the_experiment_measures_both_models_on_both_styles_and_reuses_what_was_trained() {
    let workspace = Workspace::new(6, |run| run);
    let given = arguments(EMOJI, &["--json"]);
    let output = workspace.output(&given);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["classes"], 1052);
    assert_eq!(report["steps"], 6);
    let held = |part: &str| {
        report["training_pictures"][part]
            .as_u64()
            .expect("a number")
    };
    assert_eq!(held("held_in") + held("held_out"), 4208);
    assert!((350..500).contains(&held("held_out")), "{report}");
    let names = ["CLIP zero-shot", "supervised ViT"];
    for (model, name) in names.into_iter().enumerate() {
        assert_eq!(report["models"][model]["model"], name);
        assert_eq!(of(&report, model, "seen")["pictures"], held("held_out"));
        assert_eq!(of(&report, model, "unseen")["pictures"], 1052);
        for style in ["seen", "unseen"] {
            let accuracy = of(&report, model, style);
            let [low, high] =
                [0, 1].map(|end| accuracy["interval"][end].as_f64().expect("a share"));
            let top1 = accuracy["top1"].as_f64().expect("a share");
            assert!(low <= top1 && top1 <= high, "{accuracy}");
        }
    }
    assert_eq!(report["meaning"].as_array().map(Vec::len), Some(2));

    let run = workspace.dir.join("runs/toy-robustness/clip");
    let log = fs::read_dir(run.join("log")).expect("a log").count();
    let again = workspace.output(&arguments(EMOJI, &[]));
    let errors = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success(), "{errors}");
    assert_eq!(fs::read_dir(run.join("log")).expect("a log").count(), log);
    let table = String::from_utf8_lossy(&again.stdout);
    for word in [
        "CLIP zero-shot",
        "supervised ViT",
        "share kept",
        "unseen style",
    ] {
        assert!(table.contains(word), "{table}");
    }

    let other = workspace.output(&arguments(EMOJI, &["--steps", "7"]));
    let errors = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(2), "{errors}");
    assert!(errors.contains("another train"), "{errors}");
}

#[test]
fn ctrl_c_stops_either_training_with_exit_code_130() {
    for (steps, begun) in [("100000", "training: next checkpoint"), ("40", "2 of 2")] {
        let workspace = Workspace::new(6, |run| {
            run.replace("global_batch: 16", "global_batch: 64")
                .replace("every_steps: 10", "every_steps: 20")
        });
        let more = ["--steps", steps];
        let mut command = workspace.command(&arguments(EMOJI, &more));
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the binary starts");
        let errors = BufReader::new(child.stderr.take().expect("standard error"));
        let mut lines = errors.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(begun)), "never {begun}");
        signal(child.id(), Signal::INT);
        let rest: Vec<String> = lines.collect();
        assert_eq!(bounded_wait(&mut child).code(), Some(130), "{rest:?}");
        assert!(rest.iter().any(|line| line.contains("goes on")), "{rest:?}");
    }
}

#[test]
fn training_pictures_without_a_class_are_counted_and_the_first_is_named() {
    let workspace = Workspace::new(6, |run| {
        run.replace(&format!("'{EMOJI}/train/{{00000..00008}}.tar'"), "shards/")
    });
    let shards = workspace.dir.join("shards");
    fs::create_dir(&shards).expect("a folder");
    let pairs = workspace.dir.join("pairs");
    fs::create_dir(&pairs).expect("a folder");
    let shard = fs::File::open(format!("{EMOJI}/train/00000.tar")).expect("a shard");
    let unpacked = std::process::Command::new("tar")
        .args(["-x", "--transform", "s/_/-/"])
        .current_dir(&pairs)
        .stdin(shard)
        .status();
    assert!(unpacked.expect("tar").success());
    let packed = workspace.output(&["data", "pack", "pairs", "shards"]);
    assert!(packed.status.success(), "{packed:?}");
    let errors = refused(&workspace, EMOJI, &[]);
    assert!(
        errors.contains("training pictures have no class, the first"),
        "{errors}"
    );
    assert!(errors.contains(".cls member"), "{errors}");
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let workspace = Workspace::new(6, |run| run);
    let errors = refused(&workspace, "nowhere/", &[]);
    assert!(errors.contains("classnames.txt does not exist"), "{errors}");
    // An archive without members: two blocks of zeros.
    test_set(&workspace, &[0; 1024]);
    let errors = refused(&workspace, "set/", &[]);
    assert!(errors.contains("holds no picture with a class"), "{errors}");

    let run = fs::read_to_string(workspace.dir.join("run.yaml")).expect("the run file");
    let initialised = run.replace(
        "model:\n",
        "model:\n  init_from: weights.safetensors\n  config:\n",
    );
    let initialised = initialised.replace("  embed_dim", "    embed_dim");
    let initialised = initialised.replace("  vision_cfg", "    vision_cfg");
    workspace.write_run(
        "run.yaml",
        &initialised.replace("  text_cfg", "    text_cfg"),
    );
    let errors = refused(&workspace, EMOJI, &[]);
    assert!(errors.contains("model.init_from: both models"), "{errors}");
}
