//! `twinspan classify`, `embed` and `search`: what a trained model is used for.

use crate::support::{EMOJI, Workspace};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, RowAccessor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

/// Width of the toy model's embeddings.
const E: usize = 16;

/// A trained toy model with pictures and their captions in `pictures/`, and the same in `shards/`.
pub fn trained() -> Workspace {
    let workspace = Workspace::new(12, |run| run);
    workspace.train(&["--no-eval"]);
    let folder = workspace.dir.join("pictures");
    fs::create_dir(&folder).expect("a folder");
    let shard = File::open(format!("{EMOJI}/test/0.tar")).expect("a shard");
    let status = std::process::Command::new("tar")
        .args(["-x", "--wildcards", "*.jpg", "*.txt"])
        .current_dir(&folder)
        .stdin(shard)
        .status();
    assert!(status.expect("tar").success());
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    // A picture and its caption have one stem and stand side by side.
    for file in files.iter().skip(2 * 70) {
        fs::remove_file(file).expect("removed");
    }
    let packed = workspace.output(&["data", "pack", "pictures", "shards"]);
    assert!(packed.status.success(), "{packed:?}");
    workspace
}

/// The names of the pictures, sorted.
pub fn names(workspace: &Workspace) -> Vec<String> {
    let entries = fs::read_dir(workspace.dir.join("pictures")).expect("a folder");
    let names = entries
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".jpg")).collect();
    names.sort();
    names
}

/// What a command prints as JSON, its exit code, and what it says.
pub fn json(workspace: &Workspace, arguments: &[&str]) -> (Value, Option<i32>, String) {
    let output = workspace.output(&[arguments, &["--json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let printed = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (printed, output.status.code(), errors)
}

/// What a command says on its way to an exit code.
pub fn refused(workspace: &Workspace, code: i32, arguments: &[&str]) -> String {
    let output = workspace.output(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

pub fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// Kind and embedding by key.
fn vectors(file: PathBuf) -> BTreeMap<String, (String, Vec<f32>)> {
    let reader = SerializedFileReader::new(File::open(file).expect("a file")).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows").map(|row| {
        let row = row.expect("a row");
        let list = row.get_list(2).expect("a list");
        let values = list.elements().iter().map(|value| match value {
            Field::Float(value) => *value,
            other => panic!("{other} is no float"),
        });
        let text = |at| row.get_string(at).expect("a text").clone();
        (text(0), (text(1), values.collect()))
    });
    rows.collect()
}

pub fn spoil(workspace: &Workspace, name: &str) {
    let picture = workspace.dir.join("pictures").join(name);
    let bytes = fs::read(&picture).expect("a picture");
    fs::write(picture, &bytes[..bytes.len() / 3]).expect("written");
}

#[test]
fn classify_gives_every_label_with_probabilities_that_sum_to_one_best_first() {
    let workspace = trained();
    let names = names(&workspace);
    spoil(&workspace, &names[1]);
    let picture = |at: usize| format!("pictures/{}", names[at]);
    let (first, bad) = (picture(0), picture(1));
    let labels = ["--labels", "cat, dog,a pile of books"];
    let given = [&["classify", "runs/toy", &first, &bad], &labels[..]].concat();
    let (report, code, errors) = json(&workspace, &given);
    assert_eq!(code, Some(0), "{errors}");
    assert!(errors.contains(&format!("passed over {bad}: ")), "{errors}");
    assert_eq!(keys(&report), ["templates", "images", "passed_over"]);
    assert_eq!(report["templates"][0], "a photo of a {c}");
    assert_eq!(report["passed_over"][0]["key"], bad);
    assert!(report["passed_over"][0]["reason"].is_string());
    let images = report["images"].as_array().expect("pictures");
    assert_eq!(images.len(), 1);
    assert_eq!(keys(&images[0]), ["image", "labels"]);
    assert_eq!(images[0]["image"], first);
    let ranked = images[0]["labels"].as_array().expect("labels");
    let probabilities: Vec<f64> = ranked
        .iter()
        .map(|one| {
            assert_eq!(keys(one), ["label", "probability"]);
            one["probability"].as_f64().expect("a number")
        })
        .collect();
    assert_eq!(probabilities.len(), 3);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    assert!(probabilities.is_sorted_by(|a, b| a >= b));

    let text = workspace.output(&given);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (4, first.as_str()), "{text}");
    let likeliest = ranked[0]["label"].as_str().expect("a label");
    assert!(lines[1].contains("█") && lines[1].ends_with(likeliest));
}

#[test]
fn classify_uses_logit_scale_and_the_normalised_mean_of_all_templates() {
    let workspace = trained();
    let picture = format!("pictures/{}", names(&workspace)[0]);
    let (labels, templates) = (["cat", "red car"], ["an emoji of {c}", "{c}"]);
    let prompts = labels.map(|label| templates.map(|template| template.replace("{c}", label)));
    workspace.write_run("labels.txt", &format!("{}\n", labels.join("\n")));
    workspace.write_run("prompts.txt", &prompts.concat().join("\n"));
    let embed = ["embed", "runs/toy", "--images", &picture, "--texts"];
    let (_, code, errors) = json(
        &workspace,
        &[&embed[..], &["prompts.txt", "--out", "v.parquet"]].concat(),
    );
    assert_eq!(code, Some(0), "{errors}");
    let vectors = vectors(workspace.dir.join("v.parquet"));
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let cosines = prompts.map(|prompts| {
        let mut mean = vec![0.0; E];
        for prompt in prompts {
            let pairs = mean.iter_mut().zip(&vectors[&prompt].1);
            pairs.for_each(|(mean, value)| *mean += value);
        }
        dot(&mean, &vectors[&picture].1) / dot(&mean, &mean).sqrt()
    });
    let metrics = workspace.metric("train/scale");
    let scale = metrics.last().and_then(|(_, scale)| scale.as_f64());
    let difference = scale.expect("a scale") * (cosines[1] - cosines[0]);
    let expected = 1.0 / (1.0 + difference.exp());
    let classify = ["classify", "runs/toy", &picture, "--labels-file"];
    let options = ["labels.txt", "--template", templates[0], "--template"];
    let (report, _, errors) = json(
        &workspace,
        &[&classify[..], &options, &[templates[1]]].concat(),
    );
    let ranked = report["images"][0]["labels"].as_array();
    let found = ranked.unwrap_or_else(|| panic!("no labels: {errors}"));
    let cat = found.iter().find(|one| one["label"] == labels[0]);
    let probability = cat.and_then(|cat| cat["probability"].as_f64());
    let probability = probability.expect("a probability");
    // The scale is the metric's of the last step before its update.
    assert!(
        (probability - expected).abs() < 2e-3,
        "{probability} and {expected}"
    );
}

#[test]
fn classify_refuses_what_it_cannot_use() {
    let workspace = trained();
    let picture = format!("pictures/{}", names(&workspace)[0]);
    spoil(&workspace, &names(&workspace)[0]);
    fs::create_dir(workspace.dir.join("empty")).expect("a folder");
    workspace.write_run("blank.txt", "cat\n\ndog\n");
    workspace.write_run("nothing.txt", "\n");
    let cases: [(i32, &[&str], &str); 10] = [
        (1, &[&picture, "--labels", "cat,dog"], "none of 1 pictures"),
        (2, &[&picture, "--labels", "cat,,dog"], "an empty label"),
        (2, &[&picture, "--labels", ""], "an empty label"),
        (
            2,
            &[&picture, "--labels", "cat,dog,cat"],
            "\"cat\" is given twice",
        ),
        (2, &[&picture], "--labels"),
        (
            2,
            &[&picture, "--labels-file", "blank.txt"],
            "blank.txt, line 2",
        ),
        (
            2,
            &[&picture, "--labels-file", "nothing.txt"],
            "nothing.txt is empty",
        ),
        (
            2,
            &[&picture, "--labels", "cat", "--template", "a photo"],
            "\"a photo\" does not hold {c}",
        ),
        (2, &["--labels", "cat,dog"], "IMAGE"),
        (
            2,
            &["empty", "--labels", "cat,dog"],
            "empty holds no picture",
        ),
    ];
    for (code, arguments, words) in cases {
        let errors = refused(
            &workspace,
            code,
            &[&["classify", "runs/toy"], arguments].concat(),
        );
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let missing = ["classify", "runs/toy", "nowhere.jpg", "--labels", "cat,dog"];
    let errors = refused(&workspace, 2, &missing);
    assert!(errors.contains("nowhere.jpg does not exist"), "{errors}");
}

#[test]
fn a_checkpoint_without_its_configuration_says_which_file_is_missing() {
    let workspace = trained();
    let checkpoint = workspace.checkpoint_at(12);
    fs::remove_file(checkpoint.join("open_clip_config.json")).expect("removed");
    let given = checkpoint.to_str().expect("UTF-8");
    let picture = format!("pictures/{}", names(&workspace)[0]);
    let classify = ["classify", given, &picture, "--labels", "cat,dog"];
    let says_so = || {
        let errors = refused(&workspace, 2, &classify);
        let words = "/open_clip_config.json is missing";
        assert!(errors.contains(words), "{errors}");
    };
    says_so();
    // Without a manifest the directory may be open_clip's own.
    fs::remove_file(checkpoint.join("manifest.json")).expect("removed");
    says_so();
}

#[test]
fn a_picture_has_the_same_unit_vector_from_a_folder_and_from_shards() {
    let workspace = trained();
    let names = names(&workspace);
    let embed = |images, out| {
        let (report, code, errors) = json(
            &workspace,
            &["embed", "runs/toy", "--images", images, "--out", out],
        );
        assert_eq!(code, Some(0), "{errors}");
        let fields = [
            "out",
            "images",
            "texts",
            "embed_dim",
            "model",
            "passed_over",
        ];
        assert_eq!(keys(&report), fields);
        assert_eq!(report["images"], names.len());
        assert_eq!(
            (&report["embed_dim"], &report["texts"]),
            (&E.into(), &0.into())
        );
        assert_eq!(report["model"].as_str().map(str::len), Some(64));
        vectors(workspace.dir.join(out))
    };
    let folder = embed("pictures", "folder.parquet");
    let shards = embed("shards", "shards.parquet");
    assert_eq!((folder.len(), shards.len()), (70, 70));
    for name in names {
        let (kind, of_folder) = &folder[&format!("pictures/{name}")];
        let (_, of_shards) = &shards[name.trim_end_matches(".jpg")];
        assert_eq!((kind.as_str(), of_folder.len()), ("image", E));
        let squares = of_folder.iter().map(|value| f64::from(*value).powi(2));
        assert!((squares.sum::<f64>() - 1.0).abs() < 1e-5);
        let pairs = of_folder.iter().zip(of_shards);
        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
}

#[test]
fn npy_holds_the_rows_of_parquet_with_their_keys_beside_them() {
    let workspace = trained();
    workspace.write_run("texts.txt", "red car\nblue heart\n");
    for out in ["v.parquet", "v.npy"] {
        let embed = ["embed", "runs/toy", "--images", "pictures", "--texts"];
        let (_, code, errors) = json(
            &workspace,
            &[&embed[..], &["texts.txt", "--out", out]].concat(),
        );
        assert_eq!(code, Some(0), "{errors}");
    }
    let vectors = vectors(workspace.dir.join("v.parquet"));
    let array = fs::read(workspace.dir.join("v.npy")).expect("an array");
    assert_eq!(&array[..8], b"\x93NUMPY\x01\x00");
    let header = String::from_utf8_lossy(&array[10..128]);
    assert!(
        header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (72, 16), }"),
        "{header}"
    );
    let keys = fs::read_to_string(workspace.dir.join("v.keys.txt")).expect("keys");
    let rows = array[128..].chunks_exact(4 * E);
    assert_eq!((rows.len(), keys.lines().count()), (72, 72));
    for (line, row) in keys.lines().zip(rows) {
        let (kind, key) = line.split_once('\t').expect("kind and key");
        let numbers = row.chunks_exact(4);
        let row: Vec<f32> = numbers
            .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("4")))
            .collect();
        assert_eq!(vectors[key], (kind.to_owned(), row));
    }
    let last: Vec<&str> = keys.lines().skip(70).collect();
    assert_eq!(last, ["text\tred car", "text\tblue heart"]);
}

#[test]
fn pictures_that_do_not_decode_are_named_and_counted_in_folders_and_shards() {
    let workspace = trained();
    let names = names(&workspace);
    let mut shard = fs::read(workspace.dir.join("shards/00000.tar")).expect("a shard");
    let picture = fs::read(workspace.dir.join("pictures").join(&names[3])).expect("a picture");
    let mut windows = shard.windows(picture.len());
    let at = windows.position(|window| window == picture);
    shard[at.expect("the picture")] = 0;
    fs::write(workspace.dir.join("shards/00000.tar"), shard).expect("written");
    spoil(&workspace, &names[3]);
    for (images, key) in [
        ("pictures", format!("pictures/{}", names[3])),
        ("shards", names[3].trim_end_matches(".jpg").to_owned()),
    ] {
        let embed = [
            "embed",
            "runs/toy",
            "--images",
            images,
            "--out",
            "v.parquet",
        ];
        let (report, code, errors) = json(&workspace, &embed);
        assert_eq!((code, &report["images"]), (Some(0), &69.into()), "{errors}");
        assert_eq!(report["passed_over"][0]["key"], key.as_str());
        assert!(errors.contains(&format!("passed over {key}: ")), "{errors}");
    }
}

#[test]
fn embed_refuses_what_it_cannot_use_and_leaves_nothing() {
    let workspace = trained();
    workspace.write_run("nothing.txt", "");
    fs::create_dir(workspace.dir.join("empty")).expect("a folder");
    fs::create_dir(workspace.dir.join("bad")).expect("a folder");
    workspace.write_run("bad/one.jpg", "no picture");
    fs::create_dir(workspace.dir.join("both")).expect("a folder");
    workspace.write_run("both/one.jpg", "a picture");
    workspace.write_run("both/one.tar", "a shard");
    let cases: [(i32, &[&str], &str); 9] = [
        (
            2,
            &["--images", "pictures", "--out", "v.csv"],
            ".parquet or .npy",
        ),
        (
            2,
            &["--images", "pictures", "--out", "no/v.npy"],
            "folder does not exist",
        ),
        (
            2,
            &["--images", "pictures", "--out", "s3://b/v.npy"],
            "give a path",
        ),
        (2, &["--out", "v.npy"], "--images"),
        (2, &["--images", "nowhere", "--out", "v.npy"], "nowhere"),
        (
            2,
            &["--images", "empty", "--out", "v.npy"],
            "empty holds no picture",
        ),
        (
            2,
            &["--images", "both", "--out", "v.npy"],
            "pictures and .tar shards",
        ),
        (
            2,
            &["--texts", "nothing.txt", "--out", "v.npy"],
            "nothing.txt is empty",
        ),
        (
            1,
            &["--images", "bad", "--out", "v.npy"],
            "none of 1 pictures",
        ),
    ];
    for (code, arguments, words) in cases {
        let errors = refused(
            &workspace,
            code,
            &[&["embed", "runs/toy"], arguments].concat(),
        );
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let left = fs::read_dir(workspace.dir.path())
        .expect("a folder")
        .flatten();
    let left = left.map(|entry| entry.file_name().into_string().expect("UTF-8"));
    let left: Vec<String> = left.filter(|name| name.contains("v.")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn search_finds_a_texts_own_vector_first_and_pictures_by_cosine() {
    let workspace = trained();
    workspace.write_run("texts.txt", "blue heart\nred car\na cat\n");
    let embed = ["embed", "runs/toy", "--images", "pictures", "--texts"];
    let out = ["texts.txt", "--out", "v.parquet"];
    let (_, code, errors) = json(&workspace, &[&embed[..], &out].concat());
    assert_eq!(code, Some(0), "{errors}");
    let search = ["search", "runs/toy", "v.parquet", "red car"];
    let own = [&search[..], &["--kind", "text"]].concat();
    let (report, code, errors) = json(&workspace, &own);
    assert_eq!(code, Some(0), "{errors}");
    assert_eq!(keys(&report), ["query", "kind", "searched", "results"]);
    assert_eq!(
        (&report["searched"], &report["kind"]),
        (&3.into(), &"text".into())
    );
    let results = report["results"].as_array().expect("results");
    assert_eq!(keys(&results[0]), ["key", "cosine"]);
    assert_eq!((results.len(), &results[0]["key"]), (3, &"red car".into()));
    let cosine = results[0]["cosine"].as_f64().expect("a cosine");
    assert!((cosine - 1.0).abs() < 1e-5);

    let (report, _, errors) = json(&workspace, &[&search[..], &["-k", "4"]].concat());
    assert_eq!(report["searched"], 70, "{errors}");
    let vectors = vectors(workspace.dir.join("v.parquet"));
    let query = &vectors["red car"].1;
    let pictures = vectors.iter().filter(|(_, (kind, _))| kind == "image");
    let mut nearest: Vec<(f32, &String)> = pictures
        .map(|(key, (_, row))| (row.iter().zip(query).map(|(a, b)| a * b).sum(), key))
        .collect();
    nearest.sort_by(|a, b| b.0.total_cmp(&a.0));
    let results = report["results"].as_array().expect("results");
    assert_eq!(results.len(), 4);
    for (found, (cosine, _)) in results.iter().zip(nearest) {
        let found = found["cosine"].as_f64().expect("a cosine");
        assert!((found - f64::from(cosine)).abs() < 1e-5);
    }
}

#[test]
fn search_refuses_vectors_of_another_checkpoint_and_files_that_hold_none() {
    let workspace = trained();
    let older = workspace.checkpoint_at(10);
    let older = older.to_str().expect("UTF-8");
    workspace.write_run("texts.txt", "red car\n");
    workspace.write_run("broken.parquet", "PAR1 and no more");
    let embed = ["embed", older, "--texts", "texts.txt", "--out", "v.parquet"];
    let (_, code, errors) = json(&workspace, &embed);
    assert_eq!(code, Some(0), "{errors}");
    let search = |vectors, query, words: &str| {
        let errors = refused(&workspace, 2, &["search", "runs/toy", vectors, query]);
        assert!(errors.contains(words), "{vectors} {query:?}: {errors}");
    };
    search("v.parquet", "red car", "holds vectors of another model");
    search("broken.parquet", "red car", "broken.parquet");
    search(
        "nowhere.parquet",
        "red car",
        "nowhere.parquet cannot be read",
    );
    search("v.parquet", " ", "the text to look for is empty");
    let errors = refused(&workspace, 2, &["search", older, "v.parquet", "red car"]);
    assert!(errors.contains("no vector of the kind image"), "{errors}");
    refused(
        &workspace,
        2,
        &["search", older, "v.parquet", "red car", "-k", "0"],
    );
}
