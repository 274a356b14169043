//! Bad input: a clear error that names the file and the remedy, exit code 2, nothing written.

use crate::support::Workspace;

/// Trains with a broken run file and gives the error.
fn refused(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.output(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

/// As [`refused`], where no run exists before or after.
fn refused_with_nothing_written(edit: impl Fn(String) -> String) -> String {
    let workspace = Workspace::new(5, edit);
    let errors = refused(&workspace, &["train", "run.yaml"]);
    assert!(
        !workspace.dir.join("runs").exists(),
        "something was written: {errors}"
    );
    errors
}

#[test]
fn a_missing_run_file() {
    let workspace = Workspace::new(5, |run| run);
    let errors = refused(&workspace, &["train", "nowhere.yaml"]);
    assert!(errors.contains("nowhere.yaml"), "{errors}");
}

#[test]
fn unknown_keys_and_lanes_that_do_not_divide_are_told_together() {
    let errors = refused_with_nothing_written(|run| {
        run.replace("lanes: 4", "lanes: 7")
            .replace("warmup: 2", "warm_up: 2")
    });
    assert!(errors.contains("run.yaml"), "{errors}");
    assert!(
        errors.contains("data.lanes: 7 does not divide global_batch 16"),
        "{errors}"
    );
    assert!(
        errors.contains("optimizer.warm_up: unknown key; did you mean warmup?"),
        "{errors}"
    );
}

#[test]
fn a_key_without_a_value_and_a_key_that_stands_twice_are_faults() {
    let errors = refused_with_nothing_written(|run| run.replace("lr: 1e-3", "lr: .nan"));
    assert!(
        errors.contains("optimizer.lr: has no usable value"),
        "{errors}"
    );
    let errors = refused_with_nothing_written(|run| run.replace("seed: 7", "seed: 7\nseed: 8"));
    assert!(errors.contains("seed"), "{errors}");
}

#[test]
fn an_evaluation_set_that_is_not_there() {
    let errors = refused_with_nothing_written(|run| {
        format!("{run}\neval: {{sets: [{{name: a, zero_shot: nowhere/}}]}}\n")
    });
    assert!(
        errors.contains("eval.sets[0].zero_shot") && errors.contains("classnames.txt"),
        "{errors}"
    );
}

#[test]
fn a_batch_that_would_hold_samples_twice() {
    let errors =
        refused_with_nothing_written(|run| run.replace("global_batch: 16", "global_batch: 8192"));
    assert!(errors.contains("train.global_batch 8192"), "{errors}");
}

#[test]
fn an_output_that_cannot_be_written() {
    let workspace = Workspace::new(5, |run| run);
    std::fs::write(workspace.dir.join("runs"), "a file").expect("written");
    let errors = refused(&workspace, &["train", "run.yaml"]);
    assert!(errors.contains("runs/toy"), "{errors}");
}

#[test]
fn a_run_that_another_coordinator_runs_is_left_to_it() {
    let workspace = Workspace::new(100_000, |run| run);
    let mut front = workspace.start(&[]);
    workspace.wait_for_checkpoint_after(None);
    let errors = refused(&workspace, &["train", "run.yaml"]);
    assert!(
        errors.contains("is run by a coordinator at http://"),
        "{errors}"
    );
    assert!(front.try_wait().expect("a child").is_none(), "it goes on");
    crate::support::signal(front.id(), rustix::process::Signal::INT);
    let status = crate::support::bounded_wait(&mut front);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn no_shards_found() {
    let errors =
        refused_with_nothing_written(|run| run.replace("emoji/train", "emoji/nothing-here"));
    assert!(errors.contains("nothing-here"), "{errors}");
}

#[test]
fn a_model_field_that_changes_the_mathematics() {
    let errors = refused_with_nothing_written(|run| {
        run.replace("embed_dim: 16", "embed_dim: 16\n  rotary: true")
    });
    assert!(errors.contains("rotary"), "{errors}");
}

#[test]
fn a_port_in_use() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let errors = refused_with_nothing_written(|run| {
        run.replace("workers: 2", &format!("workers: 2, listen: '{address}'"))
    });
    assert!(errors.contains(&address), "{errors}");
}

#[test]
fn a_run_that_another_model_began_is_not_continued() {
    let workspace = Workspace::new(12, |run| run);
    workspace.train(&[]);
    let other = crate::support::toy_run(12).replace("embed_dim: 16", "embed_dim: 24");
    workspace.write_run("other.yaml", &other);
    let before = workspace.metric("train/loss");
    let errors = refused(&workspace, &["train", "other.yaml"]);
    assert!(
        errors.contains("model") && errors.contains("toy"),
        "{errors}"
    );
    assert_eq!(workspace.metric("train/loss"), before);
}

#[test]
fn a_checkpoint_of_another_model() {
    let workspace = Workspace::new(12, |run| run);
    let result = workspace.train(&["--no-eval"]);
    let checkpoint = result["checkpoint"]
        .as_str()
        .expect("a checkpoint")
        .replace("file://", "");
    let config = format!("{checkpoint}/open_clip_config.json");
    let text = std::fs::read_to_string(&config).expect("the model's config");
    std::fs::write(
        &config,
        text.replace("\"embed_dim\": 16", "\"embed_dim\": 24"),
    )
    .expect("written");
    let emoji = crate::support::EMOJI;
    let eval = ["eval", "zero-shot", &checkpoint, emoji];
    let errors = refused(&workspace, &eval);
    assert!(
        errors.contains("open_clip_config.json: its size or SHA-256 is not the manifest's"),
        "{errors}"
    );
    // Without a manifest the directory may be open_clip's own.
    std::fs::remove_file(format!("{checkpoint}/manifest.json")).expect("removed");
    let errors = refused(&workspace, &eval);
    assert!(
        errors.contains("text_projection"),
        "all that does not fit is listed: {errors}"
    );
}

#[test]
fn every_run_file_that_the_project_ships_is_good() {
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let workspace = Workspace::new(5, |run| run);
    let entries = std::fs::read_dir(configs).expect("configs");
    let files = entries.flatten().map(|entry| entry.path());
    for file in files.filter(|path| path.extension().is_some_and(|end| end == "yaml")) {
        let file = file.to_str().expect("UTF-8");
        let output = workspace.output(&["validate", file]);
        assert!(
            output.status.success(),
            "{file}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
