//! What is written is read back, and nothing appears before it is whole.

use super::parquet::GROUP;
use super::*;
use std::path::Path;

const E: usize = 64;

fn space(model: &str) -> Space {
    Space {
        model: model.to_owned(),
        embed_dim: E,
    }
}

fn row(at: usize) -> Vec<f32> {
    (0..E).map(|column| (at * E + column) as f32).collect()
}

/// Writes rows of which every third is a text.
fn write(file: &Path, rows: usize) {
    let file = VectorFile::at(file).expect("a place");
    let mut writer = file.writer(&space("ours")).expect("begun");
    for at in 0..rows {
        let kind = match at % 3 {
            0 => Kind::Text,
            _ => Kind::Image,
        };
        let key = format!("key {at}");
        writer.push(kind, &key, &row(at)).expect("written");
    }
    writer.finish().expect("in its place");
}

#[test]
fn rows_of_several_groups_come_back_as_they_were_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("v.parquet");
    let rows = GROUP + 3;
    write(&file, rows);
    let mut reader = VectorReader::open(&file, &space("ours")).expect("vectors");
    let mut at = 0;
    while let Some(group) = reader.next_group().expect("a group") {
        assert_eq!(group.values.len(), group.keys.len() * E);
        for (key, values) in group.keys.iter().zip(group.values.chunks(E)) {
            assert_eq!((key, values), (&format!("key {at}"), row(at).as_slice()));
            at += 1;
        }
        let first = at - group.kinds.len();
        let is_text = |(at, kind): (usize, &Kind)| (at % 3 == 0) == (*kind == Kind::Text);
        assert!((first..).zip(&group.kinds).all(is_text));
    }
    assert_eq!(at, rows);
}

#[test]
fn vectors_of_another_model_and_files_of_other_makers_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("v.parquet");
    write(&file, 2);
    let other = VectorReader::open(&file, &space("theirs")).err();
    assert!(matches!(other, Some(VectorsError::OtherModel { .. })));
    let array = folder.path().join("v.npy");
    write(&array, 2);
    let no_parquet = VectorReader::open(&array, &space("ours")).err();
    assert!(matches!(no_parquet, Some(VectorsError::NotVectors { .. })));
}

#[test]
fn a_file_that_is_not_finished_leaves_the_one_before_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["v.parquet", "v.npy"] {
        let file = folder.path().join(name);
        write(&file, 2);
        let before = std::fs::read(&file).expect("a file");
        let begun = VectorFile::at(&file).expect("a place");
        let mut writer = begun.writer(&space("ours")).expect("begun");
        writer
            .push(Kind::Image, "another", &row(9))
            .expect("written");
        drop(writer);
        assert_eq!(std::fs::read(&file).expect("a file"), before);
    }
    let names = std::fs::read_dir(folder.path())
        .expect("a folder")
        .flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    names.sort();
    assert_eq!(names, ["v.keys.txt", "v.npy", "v.parquet"]);
}
