//! `twinspan eval`: sets as people have them, and what is said of sets that cannot be used.

use crate::inference::{json, names, refused, trained};
use crate::support::{EMOJI, Workspace};
use serde_json::Value;
use std::fs;
use std::process::Command;

/// Lays pictures of the workspace as a folder of classes: so many for each.
pub fn folders(workspace: &Workspace, root: &str, classes: &[&str], each: usize) {
    let names = names(workspace);
    for (class, names) in classes.iter().zip(names.chunks(each)) {
        let folder = workspace.dir.join(root).join(class);
        fs::create_dir_all(&folder).expect("a folder");
        for name in names {
            let picture = workspace.dir.join("pictures").join(name);
            fs::copy(picture, folder.join(name)).expect("copied");
        }
    }
}

/// A shard of the first pictures, each with the captions given, by the extension they stand under.
pub fn captioned_shard(workspace: &Workspace, name: &str, captions: &[(&str, &str)]) {
    let folder = workspace.dir.join("captioned");
    fs::create_dir(&folder).expect("a folder");
    let mut files = Vec::new();
    let pictures = names(workspace);
    for (number, (picture, (extension, text))) in pictures.iter().zip(captions).enumerate() {
        let [jpg, caption] = ["jpg", extension].map(|end| format!("{number}.{end}"));
        let picture = workspace.dir.join("pictures").join(picture);
        fs::copy(picture, folder.join(&jpg)).expect("copied");
        fs::write(folder.join(&caption), text).expect("written");
        files.extend([jpg, caption]);
    }
    let status = Command::new("tar")
        .arg("-cf")
        .arg(workspace.dir.join(name))
        .args(files)
        .current_dir(&folder)
        .status();
    assert!(status.expect("tar").success());
}

/// The JSON of a command that must succeed.
fn good(workspace: &Workspace, arguments: &[&str]) -> (Value, String) {
    let (report, code, errors) = json(workspace, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {errors}");
    (report, errors)
}

const ZERO_SHOT: [&str; 4] = ["eval", "zero-shot", "runs/toy", "pets"];

#[test]
fn a_folder_of_classes_is_a_set_and_its_corrupt_pictures_are_named() {
    let workspace = trained();
    folders(&workspace, "pets", &["black_cat", "dog"], 6);
    fs::create_dir(workspace.dir.join("pets/nothing")).expect("a folder");
    workspace.write_run("pets/readme.txt", "of no class");
    workspace.write_run("pets/dog/.hidden.jpg", "left behind");
    let bad = &names(&workspace)[8];
    let picture = fs::read(workspace.dir.join("pets/dog").join(bad)).expect("a picture");
    fs::write(
        workspace.dir.join("pets/dog").join(bad),
        &picture[..picture.len() / 3],
    )
    .expect("written");
    let (report, errors) = good(&workspace, &ZERO_SHOT);
    assert_eq!(
        (&report["pictures"], &report["classes"]),
        (&11.into(), &2.into())
    );
    assert_eq!(report["templates"], 1);
    let key = format!("dog/{bad}");
    assert_eq!(report["passed_over"][0]["key"], key.as_str());
    assert_eq!(report["passed_over"].as_array().map(Vec::len), Some(1));
    assert!(errors.contains(&format!("passed over {key}: ")), "{errors}");
}

#[test]
fn class_names_and_templates_of_a_folder_are_its_own_or_those_given() {
    let workspace = trained();
    folders(&workspace, "pets", &["black_cat", "dog"], 6);
    workspace.write_run("names.txt", "black cat\ndog\n");
    workspace.write_run("swapped.txt", "dog\nblack cat\n");
    workspace.write_run("prompts.txt", "a photo of a {c}\n{c}\n");
    let top1 = |options: &[&str]| {
        let (report, _) = good(&workspace, &[&ZERO_SHOT, options].concat());
        let top1 = report["zeroshot-val-top1"].as_f64().expect("a number");
        (top1, report["templates"].as_u64().expect("a number"))
    };
    let (own, templates) = top1(&[]);
    assert_eq!(templates, 1);
    assert_eq!(top1(&["--classnames", "names.txt"]), (own, 1));
    // Of two classes every picture then has the other one.
    let (swapped, _) = top1(&["--classnames", "swapped.txt"]);
    assert!((swapped + own - 1.0).abs() < 1e-9, "{swapped} and {own}");
    let both = top1(&["--templates", "prompts.txt"]);
    assert_eq!(both.1, 2);
    fs::copy(
        workspace.dir.join("prompts.txt"),
        workspace
            .dir
            .join("pets/zeroshot_classification_templates.txt"),
    )
    .expect("copied");
    assert_eq!(top1(&[]), both);
}

#[test]
fn retrieval_takes_several_captions_a_picture_in_both_formats() {
    let workspace = trained();
    let captions = [
        ("txt", "a cat\nan animal\n"),
        ("txt", "[\"a dog\", \"a pet\", \"it barks\"]"),
        ("json", "[\"a red car\"]"),
        ("json", "{\"width\": 32}"),
    ];
    captioned_shard(&workspace, "some.tar", &captions);
    let (report, errors) = good(&workspace, &["eval", "retrieval", "runs/toy", "some.tar"]);
    assert_eq!(
        (&report["pictures"], &report["captions"]),
        (&3.into(), &6.into())
    );
    assert_eq!(report["image_to_text"]["R@10"], 1.0);
    assert_eq!(report["passed_over"][0]["key"], "3");
    assert!(
        errors.contains("passed over 3: it has no caption"),
        "{errors}"
    );
}

#[test]
fn a_linear_probe_tells_classes_of_folders_and_of_shards_apart() {
    let workspace = trained();
    folders(&workspace, "train", &["car", "cat", "dog"], 4);
    // One class less: folders are matched by name, not by number.
    folders(&workspace, "test", &["car", "cat"], 4);
    fs::rename(workspace.dir.join("test/car"), workspace.dir.join("car")).expect("moved");
    let probe = [
        "eval",
        "linear-probe",
        "runs/toy",
        "-C",
        "1e6",
        "--train",
        "train",
        "--test",
    ];
    let (report, _) = good(&workspace, &[&probe[..], &["test"]].concat());
    // Twelve points in sixteen dimensions can be told apart.
    assert_eq!(
        (&report["lp_acc1"], &report["classes"]),
        (&1.0.into(), &3.into())
    );
    assert_eq!(
        (&report["train_pictures"], &report["test_pictures"]),
        (&12.into(), &4.into())
    );

    let shard = |number: u32| format!("{EMOJI}/test/{number}.tar");
    let (first, second) = (shard(0), shard(1));
    let (first, second) = (first.as_str(), second.as_str());
    let probe = |test| {
        let command = ["eval", "linear-probe", "runs/toy", "--iterations", "3"];
        [&command[..], &["--train", first, "--test", test]].concat()
    };
    let (report, errors) = good(&workspace, &probe(first));
    assert_eq!(report["train_pictures"], report["test_pictures"]);
    assert_eq!(report["converged"], false);
    assert!(
        errors.contains("3 steps did not reach the lowest loss"),
        "{errors}"
    );
    let errors = refused(&workspace, 2, &probe(second));
    assert!(errors.contains("has none, such as"), "{errors}");
}

#[test]
fn sets_that_cannot_be_used_are_refused_with_the_file_and_the_remedy() {
    let workspace = trained();
    folders(&workspace, "pets", &["cat", "dog"], 2);
    folders(&workspace, "one", &["cat"], 2);
    fs::create_dir(workspace.dir.join("empty")).expect("a folder");
    fs::create_dir_all(workspace.dir.join("broken/cat")).expect("a folder");
    workspace.write_run("broken/cat/a.jpg", "no picture");
    workspace.write_run("three.txt", "a\nb\nc\n");
    workspace.write_run("nothing.txt", "\n");
    workspace.write_run("plain.txt", "{c}\na photo\n");
    workspace.write_run("braces.txt", "a photo of a {}\n");
    let zero_shot = |options: &[&str], words: &[&str]| {
        let command = [&["eval", "zero-shot", "runs/toy"], options].concat();
        let errors = refused(&workspace, 2, &command);
        for words in words {
            assert!(errors.contains(words), "{options:?}: {errors}");
        }
    };
    zero_shot(
        &["empty"],
        &[
            "empty/classnames.txt does not exist",
            "a folder of pictures for each",
        ],
    );
    zero_shot(
        &["broken"],
        &["holds no sample that can be used (1 were passed over, such as cat/a.jpg"],
    );
    zero_shot(
        &["pets", "--classnames", "three.txt"],
        &["three.txt names 3 classes", "2 folders of pictures"],
    );
    zero_shot(
        &["pets", "--classnames", "nothing.txt"],
        &["nothing.txt, line 1: the file is empty"],
    );
    zero_shot(
        &["pets", "--classnames", "nowhere.txt"],
        &["nowhere.txt does not exist"],
    );
    zero_shot(
        &["pets", "--templates", "plain.txt"],
        &["plain.txt, line 2", "\"a photo\" does not hold {c}"],
    );
    zero_shot(
        &["pets", "--templates", "braces.txt"],
        &["write {c} in the place of {}"],
    );

    workspace.write_run("few/classnames.txt", "keycap\n");
    workspace.write_run("few/zeroshot_classification_templates.txt", "{c}\n");
    workspace.write_run("few/test/nshards.txt", "1\n");
    fs::copy(
        format!("{EMOJI}/test/0.tar"),
        workspace.dir.join("few/test/0.tar"),
    )
    .expect("copied");
    zero_shot(&["few"], &["is no class below 1: correct", "0.tar"]);

    let probe = |options: &[&str], words: &str| {
        let command = [&["eval", "linear-probe", "runs/toy"], options].concat();
        let errors = refused(&workspace, 2, &command);
        assert!(errors.contains(words), "{options:?}: {errors}");
    };
    probe(&["--train", "one", "--test", "one"], "are all of one class");
    probe(&["--train", "one", "--test", "shards"], "it has no label");
    probe(
        &["--train", "empty", "--test", "one"],
        "empty/ holds neither pictures in a folder for each class nor .tar files",
    );
    probe(
        &["--train", "one", "--test", "one", "-C", "0"],
        "not a number above 0",
    );
}
