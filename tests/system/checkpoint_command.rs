//! `twinspan checkpoint` says what a run has saved, and finds what is no longer what was written.

use crate::support::Workspace;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// A run that has ended and keeps two checkpoints, the newest of step 25.
fn trained() -> Workspace {
    let workspace = Workspace::new(25, |run| run);
    workspace.train(&["--no-eval"]);
    workspace
}

/// What a `checkpoint` command prints as JSON, and its exit code.
fn checkpoint(workspace: &Workspace, arguments: &[&str]) -> (Value, Option<i32>) {
    let output = workspace.output(&[&["checkpoint"], arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    let printed = serde_json::from_slice(&output.stdout);
    (
        printed.unwrap_or_else(|_| panic!("no JSON: {errors}")),
        output.status.code(),
    )
}

/// What a `checkpoint` command says on its way to exit code 2.
fn refused(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.output(&[&["checkpoint"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

/// The newest checkpoint's directory, by `list`.
fn newest(workspace: &Workspace) -> PathBuf {
    let (listed, _) = checkpoint(workspace, &["list", "runs/toy"]);
    let newest = listed.as_array().and_then(|all| all.last());
    let directory = newest.and_then(|newest| newest["directory"].as_str());
    workspace.run_dir().join(directory.expect("a checkpoint"))
}

/// The directories of the checkpoints that the log's records leave in force.
fn in_force_by_the_log(workspace: &Workspace) -> Vec<String> {
    let records = fs::read_dir(workspace.run_dir().join("log")).expect("a log");
    let mut records: Vec<PathBuf> = records.flatten().map(|record| record.path()).collect();
    records.sort();
    let mut directories = Vec::new();
    for record in records {
        let record: Value =
            serde_json::from_slice(&fs::read(record).expect("a record")).expect("JSON");
        let fact = &record["fact"];
        let directory = |name: &Value| {
            let (step, attempt) = (name["step"].as_u64()?, name["attempt"].as_u64()?);
            Some(format!("checkpoints/step-{step:08}-{attempt:08x}"))
        };
        directories.extend(directory(&fact["checkpoint_committed"]["name"]));
        let retired = directory(&fact["checkpoint_retired"]["name"]);
        directories.retain(|one| Some(one) != retired.as_ref());
    }
    directories
}

/// Verifies a run that has a damaged checkpoint, and gives what is said of it.
fn faults(workspace: &Workspace) -> String {
    let output = workspace.output(&["checkpoint", "verify", "runs/toy"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("1 of 2 checkpoints damaged"), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(": whole, 4 parts"), "the other one: {text}");
    text
}

#[test]
fn list_shows_what_the_log_has_in_force_and_no_directory_without_a_record() {
    let workspace = trained();
    let begun = workspace
        .run_dir()
        .join("checkpoints/step-00000024-0badcafe");
    fs::create_dir(&begun).expect("a folder");
    fs::copy(
        newest(&workspace).join("manifest.json"),
        begun.join("manifest.json"),
    )
    .expect("copied");
    let (listed, code) = checkpoint(&workspace, &["list", "runs/toy"]);
    assert_eq!(code, Some(0));
    let listed = listed.as_array().expect("lines");
    let directories: Vec<_> = listed
        .iter()
        .map(|one| one["directory"].as_str().expect("a directory"))
        .collect();
    assert_eq!(directories, in_force_by_the_log(&workspace));
    for (at, one) in listed.iter().enumerate() {
        assert_eq!(one["newest"], at == 1);
        assert_eq!(
            (&one["world_size"], &one["generation"]),
            (&2.into(), &1.into())
        );
        let directory = one["directory"].as_str().expect("a directory");
        let files = fs::read_dir(workspace.run_dir().join(directory)).expect("a folder");
        let parts = files
            .flatten()
            .filter(|file| file.file_name() != "manifest.json");
        let sizes: Vec<u64> = parts
            .map(|part| part.metadata().expect("a size").len())
            .collect();
        assert_eq!(one["parts"].as_u64(), Some(sizes.len() as u64));
        assert_eq!(one["bytes"].as_u64(), Some(sizes.iter().sum()));
    }
    let output = workspace.output(&["checkpoint", "list", "runs/toy"]);
    let text = String::from_utf8_lossy(&output.stdout);
    let marked: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("newest"))
        .collect();
    assert!(
        marked.len() == 1 && marked[0].contains(directories[1]),
        "{text}"
    );
}

#[test]
fn verify_finds_every_checkpoint_whole_or_the_named_one() {
    let workspace = trained();
    let (checked, code) = checkpoint(&workspace, &["verify", "runs/toy"]);
    assert_eq!(code, Some(0), "{checked}");
    let states: Vec<_> = checked.as_array().expect("lines").iter().collect();
    assert!(states.len() == 2 && states.iter().all(|one| one["state"] == "whole"));
    let newest = newest(&workspace);
    let name = newest.file_name().and_then(|name| name.to_str());
    let named = ["verify", "runs/toy", name.expect("a name")];
    let (checked, code) = checkpoint(&workspace, &named);
    assert_eq!(code, Some(0), "{checked}");
    assert_eq!(checked.as_array().map(Vec::len), Some(1));
    assert_eq!(checked[0]["step"], 25);
}

#[test]
fn a_part_with_one_byte_changed_is_named() {
    let workspace = trained();
    let part = newest(&workspace).join("open_clip_model.safetensors");
    let mut bytes = fs::read(&part).expect("a part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&part, bytes).expect("written");
    let text = faults(&workspace);
    assert!(
        text.contains("/open_clip_model.safetensors was changed: its SHA-256 is "),
        "{text}"
    );
}

#[test]
fn parts_that_are_missing_or_cut_are_all_named() {
    let workspace = trained();
    let newest = newest(&workspace);
    fs::remove_file(newest.join("optimizer-00002-of-00002.safetensors")).expect("removed");
    let config = newest.join("open_clip_config.json");
    let bytes = fs::read(&config).expect("a part");
    fs::write(&config, &bytes[..7]).expect("written");
    let text = faults(&workspace);
    assert!(
        text.contains("/optimizer-00002-of-00002.safetensors is missing")
            && text.contains(&format!(
                "/open_clip_config.json has 7 bytes and not {}",
                bytes.len()
            )),
        "{text}"
    );
}

#[test]
fn a_manifest_that_is_missing_or_of_another_checkpoint_is_named() {
    let workspace = trained();
    let manifest = newest(&workspace).join("manifest.json");
    let whole = fs::read(&manifest).expect("a manifest");
    let mut other: Value = serde_json::from_slice(&whole).expect("JSON");
    other["name"]["step"] = 24.into();
    fs::write(&manifest, other.to_string()).expect("written");
    let text = faults(&workspace);
    assert!(
        text.contains("/manifest.json is the manifest of checkpoints/step-00000024-"),
        "{text}"
    );
    fs::remove_file(&manifest).expect("removed");
    let text = faults(&workspace);
    assert!(text.contains("/manifest.json is missing"), "{text}");
    let (listed, code) = checkpoint(&workspace, &["list", "runs/toy"]);
    assert_eq!(
        (&listed[1]["fault"]["fault"], code),
        (&"missing".into(), Some(0))
    );
}

#[test]
fn a_url_without_a_run_and_a_name_that_is_not_in_force_are_bad_input() {
    let workspace = Workspace::new(12, |run| run);
    for command in ["list", "verify"] {
        let errors = refused(&workspace, &[command, "runs/toy"]);
        assert!(errors.contains("runs/toy holds no run"), "{errors}");
        let errors = refused(&workspace, &[command, "ftp://server/run"]);
        assert!(errors.contains("\"ftp\" is not supported"), "{errors}");
    }
    workspace.train(&["--no-eval"]);
    let errors = refused(
        &workspace,
        &["verify", "runs/toy", "step-00000011-0badcafe"],
    );
    assert!(
        errors.contains("has no checkpoint \"step-00000011-0badcafe\" in force: name one of step-"),
        "{errors}"
    );
    fs::remove_dir_all(workspace.run_dir().join("log")).expect("removed");
    let errors = refused(&workspace, &["verify", "runs/toy"]);
    assert!(errors.contains("has no checkpoint yet"), "{errors}");
    let (listed, code) = checkpoint(&workspace, &["list", "runs/toy"]);
    assert_eq!((listed.as_array().map(Vec::len), code), (Some(0), Some(0)));
}
