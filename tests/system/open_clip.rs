//! open_clip itself loads what is written here, and what it writes is loaded here: the embeddings
//! are the same. All of it needs a Python with open_clip.

use crate::support::{Workspace, bounded_output};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use twinspan_testkit::python;

const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests");
/// Pictures that every decoder gives the same pixels of.
const PICTURES: [&str; 5] = [
    "rgb-61x43.png",
    "rgba.png",
    "palette.png",
    "grey.png",
    "rgb-lossless.webp",
];
const TEXTS: &str = "a photo of a cat\nTHE END\n日本語 &amp; Caf\u{c3}\u{a9} 😀\na diagram, \
                     of something much longer than the others, so that texts are cut apart\n";

/// Pictures and texts to embed.
fn with_inputs(workspace: &Workspace) {
    let folder = workspace.dir.join("pictures");
    fs::create_dir(&folder).expect("a folder");
    for name in PICTURES {
        let picture = Path::new(TESTS).join("data/open_clip/pictures").join(name);
        fs::copy(picture, folder.join(name)).expect("copied");
    }
    workspace.write_run("texts.txt", TEXTS);
}

/// What open_clip's side says.
fn peer(workspace: &Workspace, python: &Path, arguments: &[&str]) -> Value {
    let mut command = Command::new(python);
    command
        .arg("-B")
        .arg(Path::new(TESTS).join("open_clip/peer.py"))
        .args(arguments)
        .current_dir(workspace.dir.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = bounded_output(command.spawn().expect("the Python starts"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {errors}"))
}

/// Our embeddings with `model` are those of open_clip with the checkpoint in `directory`.
fn assert_same_embeddings(workspace: &Workspace, python: &Path, model: &str, directory: &str) {
    let arguments = [
        "--images",
        "pictures",
        "--texts",
        "texts.txt",
        "--out",
        "v.npy",
    ];
    let output = workspace.output(&[&["embed", model], &arguments[..]].concat());
    assert!(output.status.success(), "{output:?}");
    let report = peer(workspace, python, &["compare", directory, "v.npy"]);
    eprintln!("{model}: {report}");
    assert_eq!(report["rows"], PICTURES.len() + TEXTS.lines().count());
    let off = |what: &str| report[what].as_f64().expect("a number");
    assert!(off("cosine_distance") < 1e-5, "{model}: {report}");
    assert!(off("absolute") < 1e-4, "{model}: {report}");
}

fn resnet(run: String) -> String {
    let vit = "layers: 1, width: 32, head_width: 16, patch_size: 16";
    let resnet = "layers: [1, 2, 1, 1], width: 8, head_width: 32";
    assert!(run.contains(vit));
    run.replace(vit, resnet)
        .replace("lanes: 4,", "lanes: 4, lane_group: 2,")
}

#[test]
fn open_clip_loads_a_checkpoint_of_a_run_as_it_is() {
    let Some(python) = python::with_open_clip() else {
        return;
    };
    for edit in [|run| run, resnet] {
        let workspace = Workspace::new(12, edit);
        workspace.train(&["--no-eval"]);
        with_inputs(&workspace);
        let checkpoint = workspace.checkpoint_at(12);
        let directory = checkpoint.to_str().expect("UTF-8");
        assert_same_embeddings(&workspace, &python, "runs/toy", directory);
    }
}

#[test]
fn what_open_clip_writes_at_full_size_embeds_as_there_in_every_format() {
    let Some(python) = python::with_open_clip() else {
        return;
    };
    for name in ["ViT-B-32", "RN50"] {
        let workspace = Workspace::new(1, |run| run);
        with_inputs(&workspace);
        peer(&workspace, &python, &["write", name, name]);
        for file in [
            "open_clip_model.safetensors",
            "open_clip_pytorch_model.bin",
            "epoch_1.pt",
        ] {
            assert_same_embeddings(&workspace, &python, &format!("{name}/{file}"), name);
        }
    }
}

#[test]
fn loading_a_vit_l_14_takes_at_most_twice_its_file_in_memory() {
    let Some(python) = python::with_open_clip() else {
        return;
    };
    let workspace = Workspace::new(1, |run| run);
    workspace.write_run("texts.txt", "a photo of a cat\n");
    let sizes = peer(&workspace, &python, &["write", "ViT-L-14", "model"]);
    for file in ["open_clip_model.safetensors", "epoch_1.pt"] {
        let model = format!("model/{file}");
        let twinspan = env!("CARGO_BIN_EXE_twinspan");
        let arguments = ["embed", &model, "--texts", "texts.txt", "--out", "v.npy"];
        let report = peer(
            &workspace,
            &python,
            &[&["peak", twinspan], &arguments[..]].concat(),
        );
        assert_eq!(report["status"], 0, "{report}");
        let bytes = |value: &Value| value.as_u64().expect("bytes") as f64;
        let times = bytes(&report["peak"]) / bytes(&sizes[file]);
        eprintln!(
            "{model}: {times:.3} times its size in memory: {report} of {}",
            sizes[file]
        );
        assert!(times <= 2.0, "{model}: {times} times its size");
    }
}
