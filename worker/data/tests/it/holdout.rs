//! Training pictures in two parts, with the classes of both.

use crate::shards::{EMOJI, Member, Shards, emoji_index, real_members, tar, url, wait};
use std::collections::BTreeSet;
use std::path::Path;
use twinspan_data::holdout::{
    HELD_IN, HELD_OUT, HoldOutError, Labels, is_held_out, read_labels, write_split,
};
use twinspan_data::shard::Memory;
use twinspan_data::tar::SampleReader;
use twinspan_data::{Directory, EvalSet, Share, Stores, build_index, read_classification};
use twinspan_types::Index;

/// The unseen style, which gives endings of keys their classes.
fn test_set() -> EvalSet {
    wait(read_classification(&url(EMOJI))).unwrap()
}

/// The classes of the samples of one shard.
fn labels_of(members: &[Member]) -> Result<Labels, HoldOutError> {
    let mut shards = Shards::new();
    let samples: BTreeSet<&str> = members
        .iter()
        .map(|(name, _)| name.split('.').next().unwrap())
        .collect();
    shards.add("0.tar", samples.len() as u64, &tar(members));
    wait(read_labels(&shards.index(), &test_set()))
}

/// The keys in all shards below a folder.
fn keys_below(folder: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            let mut reader = SampleReader::new(Memory(std::fs::read(path).unwrap().into()));
            while let Some(sample) = wait(reader.next(|_| false)).unwrap() {
                keys.push(sample.key);
            }
        }
    }
    keys
}

fn written(index: &Index, labels: &Labels, set: &EvalSet) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let out = Directory::open(&Stores::default(), &url(folder.path())).unwrap();
    wait(write_split(index, labels, set, &out, &|_, _| {})).unwrap();
    folder
}

#[test]
fn the_parts_are_disjoint_and_together_everything() {
    let (index, set) = (emoji_index(), test_set());
    let labels = wait(read_labels(&index, &set)).unwrap();
    assert_eq!(labels.held_in() + labels.held_out(), 4208);
    assert_eq!(labels.trained_classes(), 1052);

    let folder = written(&index, &labels, &set);
    let held_in = keys_below(&folder.path().join(HELD_IN).join("0"));
    let held_out = keys_below(&folder.path().join(HELD_OUT).join("test"));
    assert_eq!(held_in.len() as u64, labels.held_in());
    assert_eq!(held_out.len() as u64, labels.held_out());
    assert!(held_in.iter().all(|key| !is_held_out(key)));
    assert!(held_out.iter().all(|key| is_held_out(key)));
    let all: BTreeSet<&String> = held_in.iter().chain(&held_out).collect();
    assert_eq!(all.len(), 4208);
    // The counts beside the shards are believed, so they must be right.
    let url = format!("{}/{HELD_IN}/0/", url(folder.path()));
    assert_eq!(
        wait(build_index(&[url])).unwrap().samples(),
        labels.held_in()
    );
}

#[test]
fn what_is_held_out_is_a_classification_set_with_the_same_classes() {
    let (index, set) = (emoji_index(), test_set());
    let labels = wait(read_labels(&index, &set)).unwrap();
    let folder = written(&index, &labels, &set);
    let held_out = format!("{}/{HELD_OUT}", url(folder.path()));
    let held_out = wait(read_classification(&held_out)).unwrap();
    assert_eq!(held_out.classes, set.classes);
    assert_eq!(held_out.templates, set.templates);
    let mut reader = held_out.reader(16, Share::WHOLE);
    let mut pictures = 0;
    while let Some(sample) = wait(reader.next()).unwrap() {
        let sample = sample.unwrap();
        assert_eq!(sample.label, labels.of(&sample.key), "{}", sample.key);
        pictures += 1;
    }
    assert_eq!(pictures, labels.held_out());
}

#[test]
fn a_cls_member_says_more_than_the_key() {
    let mut members = real_members("00000", 60);
    let key = members[0].0.split('.').next().unwrap().to_owned();
    members.insert(2, (format!("{key}.cls"), b"7".to_vec()));
    assert_eq!(labels_of(&members).unwrap().of(&key), Some(7));
    members[2].1 = b"1052".to_vec();
    let error = labels_of(&members).unwrap_err();
    assert!(error.is_bad_input());
    let error = error.to_string();
    assert!(
        error.contains(&key) && error.contains("no class below 1052"),
        "{error}"
    );
}

#[test]
fn pictures_without_a_class_are_counted_and_the_first_is_named() {
    let mut members = real_members("00000", 60);
    for (name, _) in &mut members[4..8] {
        *name = format!("x{}", name.replace('_', "-"));
    }
    let key = members[4].0.split('.').next().unwrap().to_owned();
    let error = labels_of(&members).unwrap_err().to_string();
    assert!(error.starts_with("2 of 60 training pictures"), "{error}");
    assert!(error.contains(&key) && error.contains(".cls"), "{error}");
}

#[test]
fn two_pictures_of_one_key_must_be_of_one_class() {
    let mut members = real_members("00000", 60);
    let (name, body) = members[0].clone();
    let key = name.split('.').next().unwrap().to_owned();
    members.push((name, body));
    members.push((format!("{key}.cls"), b"7".to_vec()));
    let error = labels_of(&members).unwrap_err().to_string();
    assert!(
        error.contains("two training pictures are called"),
        "{error}"
    );
}
