//! What `--json` prints, against files in `golden/`: names, order and everything that does not depend
//! on the checkpoint. With TWINSPAN_UPDATE_GOLDEN set they are written anew.

use crate::eval_command::{captioned_shard, folders};
use crate::inference::{json, names, spoil, trained};
use serde_json::{Value, json};
use std::path::Path;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/system/golden");

/// Puts a word in the place of what depends on the checkpoint or the clock: fractions, the model's
/// fingerprint, steps of a fit, and the order of labels and of what was found.
fn normalised(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!("<number>"),
        Value::Array(items) => items.into_iter().map(normalised).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| {
                let value = match name.as_str() {
                    "model" => json!("<sha256>"),
                    "iterations" => json!("<steps>"),
                    "labels" => sorted(normalised(value)),
                    "results" => without_keys(normalised(value)),
                    _ => normalised(value),
                };
                (name, value)
            });
            Value::Object(fields.collect())
        }
        other => other,
    }
}

fn sorted(labels: Value) -> Value {
    let mut labels = labels.as_array().expect("a list").clone();
    labels.sort_by_key(|label| label["label"].to_string());
    Value::Array(labels)
}

fn without_keys(mut results: Value) -> Value {
    for result in results.as_array_mut().expect("a list") {
        result["key"] = json!("<key>");
    }
    results
}

#[test]
fn the_json_of_every_use_of_a_model_is_that_of_its_golden_file() {
    let workspace = trained();
    let names = names(&workspace);
    folders(&workspace, "pets", &["black_cat", "dog"], 3);
    captioned_shard(
        &workspace,
        "some.tar",
        &[
            ("txt", "a cat\nan animal\n"),
            ("json", "[\"a dog\"]"),
            ("json", "{}"),
        ],
    );
    workspace.write_run("texts.txt", "red car\nblue heart\n");
    workspace.write_run("prompts.txt", "a photo of a {c}\n{c}\n");
    workspace.write_run("pets/dog/broken.jpg", "no picture");
    spoil(&workspace, &names[1]);
    let [first, second] = [0, 1].map(|at| format!("pictures/{}", names[at]));
    let commands: [(&str, &[&str]); 6] = [
        (
            "classify",
            &[
                "classify", "runs/toy", &first, &second, "--labels", "cat,dog",
            ],
        ),
        (
            "embed",
            &[
                "embed",
                "runs/toy",
                "--images",
                "pictures",
                "--texts",
                "texts.txt",
                "--out",
                "v.parquet",
            ],
        ),
        (
            "search",
            &["search", "runs/toy", "v.parquet", "red car", "-k", "2"],
        ),
        (
            "zero_shot",
            &[
                "eval",
                "zero-shot",
                "runs/toy",
                "pets",
                "--templates",
                "prompts.txt",
            ],
        ),
        ("retrieval", &["eval", "retrieval", "runs/toy", "some.tar"]),
        (
            "linear_probe",
            &[
                "eval",
                "linear-probe",
                "runs/toy",
                "--train",
                "pets",
                "--test",
                "pets",
            ],
        ),
    ];
    for (name, arguments) in commands {
        let (report, code, errors) = json(&workspace, arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {errors}");
        let found = serde_json::to_string_pretty(&normalised(report)).expect("JSON") + "\n";
        // The workspace is another one each time.
        let root = workspace.dir.path().to_str().expect("UTF-8");
        let found = found.replace(root, "<workspace>");
        let file = Path::new(GOLDEN).join(format!("{name}.json"));
        if std::env::var_os("TWINSPAN_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &found).expect("written");
        }
        let golden = std::fs::read_to_string(&file).expect("a golden file");
        assert_eq!(found, golden, "{name}");
    }
}
