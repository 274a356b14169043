//! Weights from elsewhere: a run begins with them, and what they cannot be is said before it does.

use crate::support::{EMOJI, Workspace, toy_run};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The toy run that begins with the weights at `from` and changes nothing in its one step.
fn fine_tuning(from: &str) -> String {
    let run = toy_run(1).replace("run: toy", "run: tuned");
    let (before, rest) = run.split_once("model:\n").expect("a model");
    let (model, after) = rest.split_once("data:").expect("data behind it");
    let model = model.replace("\n  ", "\n    ");
    format!("{before}model:\n  init_from: '{from}'\n  config:\n  {model}\ndata:{after}")
        .replace("lr: 1e-3, warmup: 2", "lr: 1e-30")
}

fn zero_shot(workspace: &Workspace, model: &str) -> Value {
    let output = workspace.output(&["eval", "zero-shot", model, EMOJI, "--json"]);
    assert!(output.status.success(), "{output:?}");
    let mut report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    report["seconds"].take();
    report
}

fn error(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = workspace.output(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn model_file(checkpoint: &Path) -> Vec<u8> {
    fs::read(checkpoint.join("open_clip_model.safetensors")).expect("a model")
}

#[test]
fn a_run_begins_with_imported_weights_bit_for_bit_and_with_their_zero_shot_accuracy() {
    let workspace = Workspace::new(20, |run| run);
    workspace.train(&["--no-eval"]);
    let imported = workspace.checkpoint_at(20);
    // As open_clip's own directories have it: no manifest, and another name.
    let theirs = workspace.dir.join("theirs");
    fs::create_dir(&theirs).expect("a folder");
    for (from, to) in [
        ("open_clip_model.safetensors", "model.safetensors"),
        ("open_clip_config.json", "open_clip_config.json"),
    ] {
        fs::copy(imported.join(from), theirs.join(to)).expect("copied");
    }
    workspace.write_run("run.yaml", &fine_tuning("theirs"));
    workspace.train(&["--no-eval"]);
    let tuned = fs::read_dir(workspace.dir.join("runs/tuned/checkpoints"));
    let tuned = tuned.expect("checkpoints").flatten().next().expect("one");
    assert!(model_file(&tuned.path()) == model_file(&imported));
    let expected = zero_shot(&workspace, "runs/toy");
    assert_eq!(zero_shot(&workspace, "runs/tuned"), expected);
    assert_eq!(zero_shot(&workspace, "theirs"), expected);
    assert_eq!(zero_shot(&workspace, "theirs/model.safetensors"), expected);

    // Another model: everything that does not fit, before anything is written.
    let other = fine_tuning("theirs").replace("embed_dim: 16", "embed_dim: 8");
    workspace.write_run("other.yaml", &other.replace("run: tuned", "run: other"));
    for command in ["validate", "train"] {
        let said = error(&workspace, &[command, "other.yaml"]);
        assert!(said.contains("model.init_from"), "{said}");
        assert!(
            said.contains("text_projection: [16, 16], not [16, 8]"),
            "{said}"
        );
        assert!(
            said.contains("visual.proj: [32, 16], not [32, 8]"),
            "{said}"
        );
    }
    assert!(!workspace.dir.join("runs/other").exists());
    let none = fine_tuning("nowhere/").replace("run: tuned", "run: none");
    workspace.write_run("none.yaml", &none);
    let said = error(&workspace, &["validate", "none.yaml"]);
    assert!(
        said.contains("nowhere holds no weights; give a .safetensors"),
        "{said}"
    );

    // A run that has begun needs them no more.
    fs::remove_dir_all(theirs).expect("removed");
    workspace.train(&["--no-eval"]);
}

#[test]
fn a_file_that_holds_code_in_place_of_tensors_is_refused_and_nothing_of_it_is_run() {
    let workspace = Workspace::new(1, |run| run);
    let folder = workspace.dir.join("theirs");
    fs::create_dir(&folder).expect("a folder");
    let config = r#"{"embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"width": 16, "heads": 2, "layers": 1}}"#;
    fs::write(folder.join("open_clip_config.json"), config).expect("written");
    let proof = workspace.dir.join("it-ran");
    // What `pickle.loads` would run, as Python writes it: os.system("touch ...").
    let text = |text: &str| {
        [
            b"X",
            &(text.len() as u32).to_le_bytes()[..],
            text.as_bytes(),
        ]
        .concat()
    };
    let command = text(&format!("touch {}", proof.display()));
    let run = [b"cos\nsystem\n", &command[..], b"\x85R"].concat();
    let alone = [b"\x80\x02", &run[..], b"."].concat();
    // The same under the key that weights are looked for at.
    let nested = [b"\x80\x02}", &text("state_dict")[..], &run, b"s."].concat();
    for (name, bytes) in [("open_clip.pt", alone), ("pytorch_model.bin", nested)] {
        fs::write(folder.join(name), bytes).expect("written");
        let model = format!("theirs/{name}");
        let said = error(&workspace, &["eval", "zero-shot", &model, EMOJI]);
        assert!(
            said.contains("holds a Python object (os.system)"),
            "{name}: {said}"
        );
        assert!(said.contains(name) && said.contains("is not run"), "{said}");
        assert!(!proof.exists());
    }
    fs::write(folder.join("cut.pt"), b"PK\x03\x04 and no more").expect("written");
    let said = error(&workspace, &["eval", "zero-shot", "theirs/cut.pt", EMOJI]);
    assert!(
        said.contains("cut.pt: not a state dict that PyTorch wrote"),
        "{said}"
    );
    fs::write(folder.join("cut.safetensors"), b"\xff\xff\xff\xff\0\0\0\0{").expect("written");
    let said = error(
        &workspace,
        &["eval", "zero-shot", "theirs/cut.safetensors", EMOJI],
    );
    assert!(
        said.contains("cut.safetensors: not a whole safetensors file"),
        "{said}"
    );
    fs::remove_file(folder.join("open_clip_config.json")).expect("removed");
    let said = error(&workspace, &["eval", "zero-shot", "theirs/cut.pt", EMOJI]);
    assert!(
        said.contains("theirs/open_clip_config.json is missing"),
        "{said}"
    );
}
