//! Shards made of real pictures.

use crate::shards::{real_members, url, wait};
use std::num::NonZeroU64;
use std::path::Path;
use twinspan_data::build_index;
use twinspan_data::pack::{Columns, Keys, PackError, Packed, Request, pack};
use twinspan_data::shard::Memory;
use twinspan_data::tar::SampleReader;

/// A folder of the first pairs of a training shard, in two folders below it.
fn pictures(pairs: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for below in ["a", "b"] {
        std::fs::create_dir(folder.path().join(below)).unwrap();
    }
    for (number, pair) in real_members("00000", pairs).chunks(2).enumerate() {
        let below = folder.path().join(["a", "b"][number % 2]);
        for (name, body) in pair {
            std::fs::write(below.join(name), body).unwrap();
        }
    }
    folder
}

fn request(input: &Path, out: &Path) -> Request {
    Request {
        input: input.to_owned(),
        columns: Columns {
            image: "path".to_owned(),
            caption: "caption".to_owned(),
        },
        out: url(out),
        shard_samples: NonZeroU64::new(4).unwrap(),
        overwrite: false,
        skip_bad: false,
    }
}

fn packed(request: &Request) -> Result<Packed, PackError> {
    wait(pack(request, &|_, _| {}, &|_, _| {}))
}

#[test]
fn a_folder_comes_back_sample_by_sample() {
    let (input, out) = (pictures(10), tempfile::tempdir().unwrap());
    std::fs::write(input.path().join("a/stray.txt"), "no picture").unwrap();
    let made = packed(&request(input.path(), out.path())).unwrap();
    assert_eq!((made.shards, made.samples, made.other_files), (3, 10, 1));
    assert_eq!(made.keys, Keys::Stems);
    let index = wait(build_index(&[format!("{}/", url(out.path()))])).unwrap();
    let counts: Vec<u64> = index.shards.iter().map(|shard| shard.samples).collect();
    assert_eq!(counts, [4, 4, 2]);

    let mut members = Vec::new();
    for number in 0..3 {
        let bytes = std::fs::read(out.path().join(format!("0000{number}.tar"))).unwrap();
        assert_eq!(&bytes[257..265], b"ustar\x0000");
        assert_eq!(&bytes[136..147], b"00000000000", "no time");
        let mut reader = SampleReader::new(Memory(bytes.into()));
        while let Some(sample) = wait(reader.next(|_| true)).unwrap() {
            for (extension, body) in &sample.members {
                members.push((format!("{}.{extension}", sample.key), body.to_vec()));
            }
        }
    }
    let mut expected = real_members("00000", 10);
    let trimmed = |body: &[u8]| body.trim_ascii().to_vec();
    for (name, body) in &mut expected {
        if name.ends_with(".txt") {
            *body = trimmed(body);
        }
    }
    members.sort();
    expected.sort();
    assert!(members == expected);
}

#[test]
fn what_cannot_be_used_is_told_at_once_and_nothing_is_written() {
    let (input, out) = (pictures(40), tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(input.path().join("a")).unwrap() {
        let path = entry.unwrap().path();
        let broken: &[u8] = match path.extension().unwrap().to_str().unwrap() {
            "jpg" => b"\xff\xd8\xff\xe0 and no more",
            _ => b" \n",
        };
        std::fs::write(&path, broken).unwrap();
    }
    let caption = std::fs::read_dir(input.path().join("b")).unwrap();
    let mut captions = caption.map(|entry| entry.unwrap().path());
    let lost = captions.find(|path| path.extension().unwrap() == "txt");
    std::fs::remove_file(lost.unwrap()).unwrap();
    let mut asked = request(input.path(), out.path());
    let error = packed(&asked).unwrap_err();
    assert!(error.is_bad_input());
    let text = error.to_string();
    assert!(text.contains("21 samples cannot be used"), "{text}");
    assert!(
        text.contains("--skip-bad") && text.contains("and 1 more"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 22);
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);

    asked.skip_bad = true;
    let made = packed(&asked).unwrap();
    assert_eq!((made.samples, made.left_out), (19, 21));
    assert_eq!(made.left_out_first.len(), 20);
}

#[test]
fn shards_that_are_there_are_replaced_when_that_is_asked_for() {
    let (input, out) = (pictures(10), tempfile::tempdir().unwrap());
    let mut asked = request(input.path(), out.path());
    packed(&asked).unwrap();
    let before = std::fs::read(out.path().join("00000.tar")).unwrap();
    let error = packed(&asked).unwrap_err();
    assert!(matches!(&error, PackError::Occupied { present, .. } if present.len() == 4));
    assert!(error.to_string().contains("--overwrite"), "{error}");
    asked.overwrite = true;
    packed(&asked).unwrap();
    assert!(std::fs::read(out.path().join("00000.tar")).unwrap() == before);
    asked.shard_samples = NonZeroU64::new(100).unwrap();
    packed(&asked).unwrap();
    let mut left = std::fs::read_dir(out.path()).unwrap();
    let stale = left.any(|entry| entry.unwrap().file_name() == "00001.tar");
    assert!(!stale, "a shard of before would be trained on");
}

#[test]
fn equal_stems_make_numbers_that_do_not_move() {
    let (input, out) = (pictures(4), tempfile::tempdir().unwrap());
    let pair = &real_members("00000", 1);
    let (picture, caption) = (&pair[0].1, &pair[1].1);
    for below in ["a", "b"] {
        std::fs::write(input.path().join(below).join("0.jpg"), picture).unwrap();
        std::fs::write(input.path().join(below).join("0.txt"), caption).unwrap();
    }
    std::fs::write(input.path().join("a/0.txt"), "").unwrap();
    let mut asked = request(input.path(), out.path());
    asked.skip_bad = true;
    let made = packed(&asked).unwrap();
    assert_eq!((made.keys, made.samples), (Keys::Numbers, 5));
    let bytes = std::fs::read(out.path().join("00000.tar")).unwrap();
    let mut reader = SampleReader::new(Memory(bytes.into()));
    let first = wait(reader.next(|_| true)).unwrap().unwrap();
    assert_eq!(
        first.key, "000000001",
        "the pair that was left out keeps its number"
    );
}

#[test]
fn what_is_no_input_is_told_with_what_would_be() {
    let out = tempfile::tempdir().unwrap();
    let message = |name: &str, content: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, content).unwrap();
        let error = packed(&request(&file, out.path())).unwrap_err();
        assert!(error.is_bad_input());
        error.to_string()
    };
    let columns = message("a.csv", "file,caption\nx.jpg,a cat\n");
    assert!(
        columns.contains("\"path\"") && columns.contains("file, caption"),
        "{columns}"
    );
    assert!(columns.contains("--image-column"), "{columns}");
    let uneven = message("a.csv", "path,caption\nx.jpg,a cat\ny.jpg\n");
    assert!(
        uneven.contains("a.csv") && uneven.contains("line: 3"),
        "{uneven}"
    );
    assert!(message("a.csv", "path,caption\n").contains("no rows"));
    let rows = message("a.csv", "path,caption\n,a cat\nx.jpg,\n");
    assert!(rows.contains("line 2 (): no picture is named"), "{rows}");
    assert!(rows.contains("line 3 (x.jpg): its picture"), "{rows}");
    assert!(message("a.parquet", "PAR0").contains("a.parquet"));
    assert!(message("a.zip", "PK").contains(".parquet"));
    let nothing = tempfile::tempdir().unwrap();
    let error = packed(&request(nothing.path(), out.path())).unwrap_err();
    assert!(error.to_string().contains("no .jpg"), "{error}");
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
}
