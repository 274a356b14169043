//! Shards are made, counted, looked at and trained on by the real binary.

use crate::support::{EMOJI, Workspace};
use parquet::basic::Compression;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use twinspan_data::shard::Memory;
use twinspan_data::tar::SampleReader;

/// Pairs of the training shard whose pictures the tests pack.
const PAIRS: usize = 512;

/// A workspace with that shard's pictures and captions in `pictures`. Gives their names.
fn pictures() -> (Workspace, Vec<String>) {
    let workspace = Workspace::new(5, |run| {
        run.replace(&format!("{EMOJI}/train/{{00000..00008}}.tar"), "shards/")
    });
    let tar = fs::read(format!("{EMOJI}/train/00000.tar")).expect("a shard");
    let mut reader = SampleReader::new(Memory(tar.into()));
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.expect("a runtime");
    let mut keys = Vec::new();
    while let Some(sample) = runtime.block_on(reader.next(|_| true)).expect("reads") {
        for (extension, body) in &sample.members {
            let name = format!("pictures/{}.{extension}", sample.key);
            workspace.dir.write(name, body).expect("written");
        }
        keys.push(sample.key);
    }
    keys.sort();
    assert_eq!(keys.len(), PAIRS);
    (workspace, keys)
}

fn caption(workspace: &Workspace, key: &str) -> String {
    let file = workspace.dir.join(format!("pictures/{key}.txt"));
    fs::read_to_string(file).expect("a caption")
}

/// Runs `data` to its success and gives its JSON.
fn data(workspace: &Workspace, arguments: &[&str]) -> Value {
    let all = [&["data"], arguments, &["--json"]].concat();
    let output = workspace.output(&all);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Runs `data` to its failure and gives the error.
fn refused(workspace: &Workspace, arguments: &[&str], code: i32) -> String {
    let output = workspace.output(&[&["data"], arguments].concat());
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    errors
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().expect("UTF-8");
        (name, fs::read(entry.path()).expect("a file"))
    };
    entries.map(file).collect()
}

#[test]
fn a_packed_folder_is_indexed_inspected_and_trained_on() {
    let (workspace, keys) = pictures();
    let packed = data(
        &workspace,
        &["pack", "pictures", "shards", "--shard-samples", "200"],
    );
    assert_eq!(packed["shards"], 3);
    assert_eq!(packed["samples"], PAIRS);
    assert_eq!(packed["keys"], "stems");

    let arguments = ["index", "shards", "--scan", "--out", "made/index.json"];
    let index = data(&workspace, &arguments);
    assert_eq!(
        (&index["shards"], &index["counted"]),
        (&3.into(), &3.into())
    );
    assert_eq!(index["samples"], PAIRS);
    let written = fs::read(workspace.dir.join("made/index.json")).expect("an index");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["shards"][2]["samples"], 112);

    let found = data(
        &workspace,
        &["inspect", "shards/{00000..00002}.tar", "--samples", "2"],
    );
    assert_eq!(found["looked_at"], PAIRS);
    assert_eq!(found["formats"]["jpg"], PAIRS);
    assert_eq!(found["unusable"], serde_json::json!({}));
    assert_eq!(found["shown"][0]["key"], *keys[0]);
    assert_eq!(
        found["shown"][0]["caption"],
        caption(&workspace, &keys[0]).trim()
    );

    workspace.train(&[]);
    assert_eq!(workspace.metric("train/loss").len(), 5);
}

#[test]
fn tables_make_the_bytes_that_the_folder_makes() {
    let (workspace, keys) = pictures();
    let captions: Vec<String> = keys.iter().map(|key| caption(&workspace, key)).collect();
    let paths: Vec<String> = keys
        .iter()
        .map(|key| format!("pictures/{key}.jpg"))
        .collect();
    let mut table = "number,text,file\n".to_owned();
    for (number, (caption, path)) in captions.iter().zip(&paths).enumerate() {
        let quoted = caption.replace('"', "\"\"");
        table.push_str(&format!("{number},\"{quoted}\",{path}\n"));
    }
    workspace.dir.write("pairs.csv", table).expect("written");
    write_parquet(&workspace.dir.join("pairs.parquet"), &paths, &captions);
    let pack = |input: &str, out: &str, columns: &[&str]| {
        let arguments = ["pack", input, out, "--shard-samples", "150"];
        data(&workspace, &[&arguments, columns].concat());
        files(&workspace.dir.join(out))
    };
    let of_folder = pack("pictures", "one", &[]);
    let columns = ["--image-column", "file", "--caption-column", "text"];
    let of_csv = pack("pairs.csv", "two", &columns);
    let of_parquet = pack("pairs.parquet", "three", &[]);
    assert_eq!(of_folder.len(), 5, "four shards and their counts");
    assert!(of_csv == of_folder);
    assert!(of_parquet == of_folder);
}

fn write_parquet(file: &Path, paths: &[String], captions: &[String]) {
    let schema = "message pairs {
        required binary path (UTF8); required int64 width; optional binary caption (UTF8);
    }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let file = File::create(file).expect("a file");
    let writer = SerializedFileWriter::new(file, schema, Arc::new(properties.build()));
    let mut writer = writer.expect("a writer");
    // Two row groups, as large tables have them.
    for (paths, captions) in paths.chunks(300).zip(captions.chunks(300)) {
        let bytes = |texts: &[String]| -> Vec<ByteArray> {
            texts
                .iter()
                .map(|text| ByteArray::from(text.as_str()))
                .collect()
        };
        let mut group = writer.next_row_group().expect("a group");
        let mut column = group.next_column().expect("a column").expect("path");
        let written = column
            .typed::<ByteArrayType>()
            .write_batch(&bytes(paths), None, None);
        written.expect("written");
        column.close().expect("closed");
        let mut column = group.next_column().expect("a column").expect("width");
        let widths = vec![64; paths.len()];
        let typed = column.typed::<parquet::data_type::Int64Type>();
        typed.write_batch(&widths, None, None).expect("written");
        column.close().expect("closed");
        let mut column = group.next_column().expect("a column").expect("caption");
        let there = vec![1; captions.len()];
        let typed = column.typed::<ByteArrayType>();
        let written = typed.write_batch(&bytes(captions), Some(&there), None);
        written.expect("written");
        column.close().expect("closed");
        group.close().expect("closed");
    }
    writer.close().expect("closed");
}

#[test]
fn pictures_that_do_not_decode_are_refused_or_left_out() {
    let (workspace, keys) = pictures();
    let broken = workspace.dir.join(format!("pictures/{}.jpg", keys[7]));
    fs::write(&broken, b"GIF89a").expect("written");
    fs::write(workspace.dir.join(format!("pictures/{}.txt", keys[9])), " ").expect("written");
    let errors = refused(&workspace, &["pack", "pictures", "shards"], 2);
    assert!(errors.contains("2 samples cannot be used"), "{errors}");
    assert!(
        errors.contains(&format!("{}.jpg: the picture is neither", keys[7])),
        "{errors}"
    );
    assert!(
        errors.contains(&format!("{}.jpg: the caption is empty", keys[9])),
        "{errors}"
    );
    assert!(!workspace.dir.join("shards").exists());
    let packed = data(&workspace, &["pack", "pictures", "shards", "--skip-bad"]);
    assert_eq!(
        (&packed["samples"], &packed["left_out"]),
        (&510.into(), &2.into())
    );
    let errors = refused(&workspace, &["pack", "pictures", "shards", "--skip-bad"], 2);
    assert!(
        errors.contains("00000.tar") && errors.contains("--overwrite"),
        "{errors}"
    );
}

#[test]
fn written_counts_that_are_wrong_are_all_told_by_a_scan() {
    let workspace = Workspace::new(5, |run| run);
    for name in ["00007.tar", "00008.tar"] {
        let shard = fs::read(format!("{EMOJI}/train/{name}")).expect("a shard");
        workspace
            .dir
            .write(format!("shards/{name}"), shard)
            .expect("written");
    }
    let sizes = r#"{"00007.tar": 500, "00008.tar": 100}"#;
    workspace
        .dir
        .write("shards/sizes.json", sizes)
        .expect("written");
    assert_eq!(data(&workspace, &["index", "shards/"])["samples"], 600);
    let arguments = ["index", "shards", "--scan", "--out", "index.json"];
    let errors = refused(&workspace, &arguments, 1);
    assert!(errors.contains("00007.tar holds 512 samples"), "{errors}");
    assert!(errors.contains("00008.tar holds 112 samples"), "{errors}");
    assert!(errors.contains("sizes.json says 100"), "{errors}");
    assert!(!workspace.dir.join("index.json").exists());
}

#[test]
fn what_cannot_be_used_is_named() {
    let workspace = Workspace::new(5, |run| run);
    for (arguments, named) in [
        (&["index", "nowhere/"][..], "nowhere"),
        (&["index", "gone.tar"], "gone.tar does not exist"),
        (&["index", "{0..x}.tar"], "{0..x}"),
        (&["inspect", "ftp://server/a.tar"], "ftp"),
        (&["pack", "nowhere", "shards"], "nowhere"),
        (&["pack", "run.yaml", "shards"], ".parquet"),
        (&["pack", ".", "shards"], "no .jpg"),
        (&["pack", ".", "https://server/set"], "web server"),
    ] {
        let errors = refused(&workspace, arguments, 2);
        assert!(errors.contains(named), "{arguments:?}: {errors}");
    }
    assert!(!workspace.dir.join("shards").exists());
}

#[test]
fn every_help_has_an_example() {
    let workspace = Workspace::new(5, |run| run);
    for command in ["index", "inspect", "pack"] {
        let help = workspace.output(&["data", command, "--help"]);
        let help = String::from_utf8_lossy(&help.stdout);
        assert!(
            help.contains(&format!("twinspan data {command} ")),
            "{help}"
        );
    }
}
