//! The real data, end to end.

use crate::shards::{EMOJI, TOKENIZER, batches, config, emoji_index, url, wait};
use std::collections::BTreeSet;
use std::sync::Mutex;
use twinspan_data::Stores;
use twinspan_data::index::count_samples;
use twinspan_data::shard::Memory;
use twinspan_data::tar::SampleReader;
use twinspan_data::{Counting, EvalError, build_index, dataset, image};
use twinspan_data::{Share, read_captioned, read_classification, survey};

#[test]
fn counts_from_sizes_are_those_of_a_scan() {
    let index = emoji_index();
    assert_eq!((index.shards.len(), index.samples()), (9, 4208));
    let stores = Stores::default();
    for shard in &index.shards {
        let object = wait(stores.head(&shard.url)).unwrap();
        assert_eq!(object.bytes, shard.bytes);
        assert_eq!(
            wait(count_samples(&stores, &object)).unwrap(),
            shard.samples,
            "{}",
            shard.url
        );
    }
}

#[test]
fn shards_without_counts_are_scanned_and_stats_are_believed() {
    let folder = tempfile::tempdir().unwrap();
    let shard = folder.path().join("00008.tar");
    std::fs::copy(format!("{EMOJI}/train/00008.tar"), &shard).unwrap();
    let urls = [url(&shard)];
    assert_eq!(wait(build_index(&urls)).unwrap().shards[0].samples, 112);
    let stats = folder.path().join("00008_stats.json");
    std::fs::write(
        &stats,
        r#"{"count": 120, "successes": 111, "failed_to_download": 9}"#,
    )
    .unwrap();
    assert_eq!(wait(build_index(&urls)).unwrap().shards[0].samples, 111);
    std::fs::write(&stats, r#"{"count": 120}"#).unwrap();
    let error = wait(build_index(&urls)).unwrap_err().to_string();
    assert!(
        error.contains("00008_stats.json") && error.contains("successes"),
        "{error}"
    );
}

#[test]
fn a_scan_compares_what_is_written_and_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["00007.tar", "00008.tar"] {
        std::fs::copy(format!("{EMOJI}/train/{name}"), folder.path().join(name)).unwrap();
    }
    let sizes = folder.path().join("sizes.json");
    std::fs::write(&sizes, r#"{"00007.tar": 512, "00008.tar": 111}"#).unwrap();
    let urls = [format!("{}/", url(folder.path()))];
    let heard = Mutex::new(Vec::new());
    let on_progress = |done, total| heard.lock().unwrap().push((done, total));
    let written = wait(survey(&urls, Counting::Written, &[], &on_progress)).unwrap();
    assert_eq!((written.index.samples(), written.counted), (623, 0));
    assert!(written.differences.is_empty());
    assert_eq!(*heard.lock().unwrap(), [(0, 2), (1, 2), (2, 2)]);
    let scanned = wait(survey(&urls, Counting::Scan, &[], &on_progress)).unwrap();
    assert_eq!((scanned.index.samples(), scanned.counted), (624, 2));
    let [difference] = scanned.differences.as_slice() else {
        panic!("{:?}", scanned.differences);
    };
    assert!(difference.shard.ends_with("00008.tar"));
    assert!(difference.written_in.ends_with("sizes.json"));
    assert_eq!((difference.written, difference.counted), (111, 112));
}

#[test]
fn what_cannot_be_indexed_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("{}/", url(folder.path()));
    let message = |urls: &[String]| wait(build_index(urls)).unwrap_err().to_string();
    assert!(message(&[]).contains("data.train"));
    let none = message(std::slice::from_ref(&prefix));
    assert!(none.contains(&prefix) && none.contains("no .tar"), "{none}");
    let missing = message(&[format!("{prefix}7.tar")]);
    assert!(missing.contains("7.tar does not exist"), "{missing}");
    std::fs::write(folder.path().join("0.tar"), [1; 700]).unwrap();
    let broken = message(&[format!("{prefix}0.tar")]);
    assert!(
        broken.contains("0.tar") && broken.contains("checksum"),
        "{broken}"
    );
    std::fs::write(folder.path().join("sizes.json"), "[]").unwrap();
    let sizes = message(&[format!("{prefix}0.tar")]);
    assert!(sizes.contains("sizes.json"), "{sizes}");
}

#[test]
fn every_picture_decodes_and_every_caption_tokenises() {
    let (mut samples, mut longest, mut tokens) = (0, 0, 0);
    for shard in &emoji_index().shards {
        let bytes = std::fs::read(shard.url.trim_start_matches("file://")).unwrap();
        let mut reader = SampleReader::new(Memory(bytes.into()));
        while let Some(sample) = wait(reader.next(|_| true)).unwrap() {
            let picture = image::decode(sample.member(&["jpg"]).unwrap()).unwrap();
            assert_eq!(
                picture.rgb.len(),
                (picture.width * picture.height * 3) as usize
            );
            assert!(picture.width.max(picture.height) == 64, "{}", sample.key);
            let caption = std::str::from_utf8(sample.member(&["txt"]).unwrap()).unwrap();
            let ids = TOKENIZER.encode(caption);
            assert!(ids.len() > 2 && ids.len() <= 77, "{caption}");
            assert!(
                ids[1..ids.len() - 1].iter().all(|id| *id < 49406),
                "{caption}"
            );
            samples += 1;
            longest = longest.max(ids.len());
            tokens += ids.len();
        }
    }
    assert_eq!(samples, 4208);
    let mean = f64::from(tokens as u32) / 4208.0;
    assert!(
        (7.0..12.0).contains(&mean),
        "{mean} tokens in the mean, {longest} at most"
    );
}

#[test]
fn an_epoch_is_every_sample_once() {
    let index = emoji_index();
    let mut seen = BTreeSet::new();
    for batch in batches(config(&index, 8, 16), 33).unwrap() {
        assert_eq!(batch.pixels.len(), 128 * 32 * 32 * 3);
        assert_eq!((batch.keys.len(), batch.captions.len()), (128, 128));
        assert!(batch.skips.is_empty());
        for key in batch.keys {
            if key.epoch.0 == 0 {
                assert!(seen.insert((key.shard, key.key)));
            }
        }
    }
    assert_eq!(seen.len(), 4208);
}

#[test]
fn the_test_split_is_a_classification_set() {
    let set = wait(read_classification(&format!("{}/", url(EMOJI)))).unwrap();
    assert_eq!(set.classes.len(), 1052);
    let prompts: Vec<String> = dataset::prompts(&set.templates, "cat").collect();
    assert_eq!(prompts, ["cat", "an emoji of cat"]);
    let mut reader = set.reader(48, Share::WHOLE);
    let mut labels = BTreeSet::new();
    while let Some(sample) = wait(reader.next()).unwrap() {
        let sample = sample.unwrap();
        assert_eq!(sample.pixels.len(), 48 * 48 * 3);
        assert_eq!(sample.captions.len(), 1);
        labels.insert(sample.label.unwrap());
    }
    assert_eq!(labels.len(), 1052);
    let (done, total) = reader.progress();
    assert_eq!(done, total);
}

#[test]
fn shares_hold_every_sample_of_a_set_once_with_its_number() {
    let set = wait(read_captioned(&format!("{}/test/", url(EMOJI)))).unwrap();
    let read = |share| {
        let mut reader = set.reader(32, share);
        let mut samples = Vec::new();
        while let Some(sample) = wait(reader.next()).unwrap() {
            samples.push(sample.unwrap());
        }
        samples
    };
    let whole = read(Share::WHOLE);
    let mut parts: Vec<_> = (0..3)
        .flat_map(|rank| read(Share { rank, of: 3 }))
        .collect();
    parts.sort_by_key(|sample| sample.number);
    assert_eq!(whole.len(), 1052);
    assert!(whole == parts);
}

#[test]
fn a_captioned_set_is_a_prefix_or_braces() {
    for url in [
        format!("{}/test/{{0..2}}.tar", url(EMOJI)),
        format!("{}/test/", url(EMOJI)),
    ] {
        let mut reader = wait(read_captioned(&url)).unwrap().reader(32, Share::WHOLE);
        let mut captions = 0;
        while let Some(sample) = wait(reader.next()).unwrap() {
            captions += sample.unwrap().captions.len();
        }
        assert_eq!(captions, 1052);
    }
    let missing = wait(read_captioned(&format!("{}/test/{{2..3}}.tar", url(EMOJI)))).unwrap_err();
    assert!(matches!(&missing, EvalError::MissingFile { url, .. } if url.ends_with("3.tar")));
}

#[test]
fn a_template_without_a_place_is_named_by_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("classnames.txt"), "cat\ndog\n").unwrap();
    let templates = folder.path().join("zeroshot_classification_templates.txt");
    std::fs::write(&templates, "a {c}\na photo of {}\n").unwrap();
    let error = wait(read_classification(&url(folder.path())))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("templates.txt, line 2") && error.contains("{c}"),
        "{error}"
    );
    std::fs::remove_file(templates).unwrap();
    let error = wait(read_classification(&url(folder.path())))
        .unwrap_err()
        .to_string();
    assert!(error.contains("templates.txt does not exist"), "{error}");
}
