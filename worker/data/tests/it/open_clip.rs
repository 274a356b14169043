//! Pixels and token ids against open_clip's own, as `tests/open_clip/make_fixtures.py` wrote them.

use safetensors::SafeTensors;
use std::path::Path;
use twinspan_data::Tokenizer;
use twinspan_data::image::Transformer;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/open_clip");
/// Side of the fixtures' squares.
const SIDE: u32 = 32;

/// How far a file's pixels may be off: decoders of lossy formats need not agree to the bit.
fn bound(name: &str) -> u8 {
    let lossy = name.ends_with(".jpg") || name.ends_with("-lossy.webp");
    if lossy { 4 } else { 1 }
}

#[test]
fn pictures_of_every_kind_become_open_clips_pixels() {
    let folder = Path::new(FIXTURES).join("pictures");
    let bytes = std::fs::read(folder.join("squares.safetensors")).unwrap();
    let squares = SafeTensors::deserialize(&bytes).unwrap();
    let mut names = squares.names();
    names.sort_unstable();
    assert!(names.len() > 35, "{} pictures", names.len());
    let mut faults = Vec::new();
    for name in names {
        let square = squares.tensor(name).unwrap();
        let picture = std::fs::read(folder.join(name)).unwrap();
        let ours = match Transformer::new(SIDE).eval(&picture) {
            Ok(ours) => ours,
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        assert_eq!(ours.len(), square.data().len(), "{name}");
        let off = ours.iter().zip(square.data()).map(|(a, b)| a.abs_diff(*b));
        let worst = off.max().unwrap_or(0);
        eprintln!("{name}: off by {worst} of 255 at most");
        if worst > bound(name) {
            faults.push(format!("{name}: off by {worst} of 255"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Texts whose ids differ, because of the libraries below: plsfix gives a reference to what is no
/// character a meaning, and to the BPE an apostrophe before a long s is no contraction.
const DIFFERENT: [&str; 3] = ["&#xFFFE;", "&#xFFFF;", "I\u{17f}m it'\u{17f}"];

#[test]
fn hard_texts_become_open_clips_tokens() {
    let json = std::fs::read(Path::new(FIXTURES).join("texts.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let context = json["context_length"].as_u64().unwrap() as usize;
    let tokenizer = Tokenizer::new(context, Tokenizer::VOCABULARY).unwrap();
    let texts: Vec<(String, Vec<u32>)> = serde_json::from_value(json["texts"].clone()).unwrap();
    assert!(texts.len() >= 200, "{} texts", texts.len());
    let mut faults = Vec::new();
    // A text of the list that agrees is a fault as well: it can leave the list.
    for (text, ids) in &texts {
        let ours = tokenizer.encode(text);
        if (ours != *ids) != DIFFERENT.contains(&text.as_str()) {
            faults.push(format!("{text:?}: {ours:?}, not {ids:?}"));
        }
    }
    let (bad, all) = (faults.len(), texts.len());
    assert!(faults.is_empty(), "{bad} of {all}:\n{}", faults.join("\n"));
}
