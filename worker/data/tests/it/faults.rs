//! Broken shards: what is passed over, what is an error, and that batches stay whole.

use crate::shards::{PATIENCE, Shards, batches, config, real_members, tar};
use std::collections::BTreeMap;
use twinspan_data::{Loader, LoaderError, LocalBatch};
use twinspan_types::{Skip, SkipReason};

/// The skips of two epochs and more, by key, each key's first.
fn skips(batches: &[LocalBatch]) -> BTreeMap<String, Skip> {
    let mut skips = BTreeMap::new();
    for skip in batches.iter().flat_map(|batch| &batch.skips) {
        skips
            .entry(skip.key.clone())
            .or_insert_with(|| skip.clone());
    }
    skips
}

#[test]
fn broken_samples_are_passed_over_by_name_and_batches_stay_whole() {
    let mut members = real_members("00000", 40);
    let key = |n: usize, members: &[(String, Vec<u8>)]| {
        members[2 * n].0.trim_end_matches(".jpg").to_owned()
    };
    let keys: Vec<String> = (0..40).map(|n| key(n, &members)).collect();
    let half = members[0].1.len() / 2;
    members[0].1.truncate(half);
    let middle = members[2 * 3].1.len() / 2;
    members[2 * 3].1[middle..middle + 40].fill(0xff);
    members[2 * 5].1 = b"no picture at all".to_vec();
    members[2 * 7 + 1].1 = b"caf\xe9".to_vec();
    members[2 * 9].0 = format!("{}.json", keys[9]);
    members.remove(2 * 11 + 1);
    let mut shards = Shards::new();
    shards.add("0.tar", 40, &tar(&members));
    shards.add("1.tar", 30, &tar(&real_members("00001", 30)));

    // 70 samples an epoch, 64 of them good.
    let batches = batches(config(&shards.index(), 2, 4), 20).unwrap();
    for batch in &batches {
        assert_eq!(batch.keys.len(), 8);
        assert!(batch.skips.iter().all(|skip| skip.step == batch.step));
    }
    let skips = skips(&batches);
    let expected = [
        (0, SkipReason::CorruptImage),
        (3, SkipReason::CorruptImage),
        (5, SkipReason::CorruptImage),
        (7, SkipReason::UndecodableText),
        (9, SkipReason::MissingImage),
        (11, SkipReason::MissingCaption),
    ];
    let found: BTreeMap<&str, SkipReason> = skips
        .values()
        .map(|skip| (skip.key.as_str(), skip.reason))
        .collect();
    let expected: BTreeMap<&str, SkipReason> = expected
        .iter()
        .map(|(n, reason)| (keys[*n].as_str(), *reason))
        .collect();
    assert_eq!(found, expected);
    assert!(
        skips
            .values()
            .all(|skip| skip.shard.ends_with("0.tar") && !skip.detail.is_empty())
    );
}

#[test]
fn skips_are_the_same_after_a_stop() {
    let mut members = real_members("00000", 40);
    for n in [2, 3, 4, 17, 30] {
        members[2 * n].1.truncate(9);
    }
    let mut shards = Shards::new();
    shards.add("0.tar", 40, &tar(&members));
    let index = shards.index();
    let undisturbed = batches(config(&index, 2, 3), 16).unwrap();
    for stop in 1..12 {
        let mut resumed = config(&index, 2, 3);
        resumed.start = undisturbed[stop - 1].step;
        resumed.cursors = undisturbed[stop - 1]
            .cursors
            .iter()
            .map(|(_, at)| *at)
            .collect();
        assert!(
            batches(resumed, 4).unwrap()[..] == undisturbed[stop..stop + 4],
            "{stop}"
        );
    }
}

#[test]
fn a_truncated_shard_loses_its_missing_samples_one_by_one() {
    let mut shards = Shards::new();
    let members = real_members("00000", 30);
    // Ten bytes short of the end of the picture of sample 18.
    let whole = tar(&members[..=36]);
    let body = members[36].1.len().next_multiple_of(512) - members[36].1.len();
    shards.add("0.tar", 30, &whole[..whole.len() - 1024 - body - 10]);
    shards.add("1.tar", 30, &tar(&real_members("00001", 30)));
    let batches = batches(config(&shards.index(), 2, 4), 16).unwrap();
    assert!(batches.iter().all(|batch| batch.keys.len() == 8));
    let skips = skips(&batches);
    let expected: Vec<String> = (18..30).map(|n| format!("#{n}")).collect();
    assert_eq!(skips.keys().cloned().collect::<Vec<_>>(), expected);
    for skip in skips.values() {
        assert_eq!(skip.reason, SkipReason::TruncatedShard);
        assert!(skip.detail.contains("within sample 18"), "{}", skip.detail);
    }
    // Over a whole epoch exactly the good ones come, each once.
    let epoch: Vec<_> = batches.iter().flat_map(|batch| &batch.keys).collect();
    let first: std::collections::BTreeSet<_> = epoch
        .iter()
        .filter(|key| key.epoch.0 == 0)
        .map(|key| &key.key)
        .collect();
    assert_eq!(first.len(), 48);
    assert_eq!(epoch.iter().filter(|key| key.epoch.0 == 0).count(), 48);
}

#[test]
fn what_lies_behind_a_damaged_header_is_passed_over_and_called_corrupt() {
    let members = real_members("00000", 30);
    let mut bytes = tar(&members);
    let before: usize = members[..40]
        .iter()
        .map(|(_, body)| 512 + body.len().next_multiple_of(512))
        .sum();
    bytes[before + 5] ^= 1;
    let mut shards = Shards::new();
    shards.add("0.tar", 30, &bytes);
    let skips = skips(&batches(config(&shards.index(), 2, 4), 8).unwrap());
    let expected: Vec<String> = (20..30).map(|n| format!("#{n}")).collect();
    assert_eq!(skips.keys().cloned().collect::<Vec<_>>(), expected);
    let detail = format!("corrupt at byte {before}, in sample 20");
    assert!(skips.values().all(|skip| skip.detail.contains(&detail)));
}

#[test]
fn a_count_that_is_wrong_names_the_shard_and_both_numbers() {
    for (indexed, held) in [(20, 24), (24, 20)] {
        let mut shards = Shards::new();
        shards.add("0.tar", indexed, &tar(&real_members("00000", held)));
        let error = batches(config(&shards.index(), 1, 4), 20).unwrap_err();
        assert!(matches!(error, LoaderError::CountDiffers { .. }), "{error}");
        let expected = format!("0.tar holds {held} samples and the index says {indexed}");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn a_shard_that_is_gone_or_changed_is_an_error_that_names_it() {
    let mut shards = Shards::new();
    let path = shards.add("0.tar", 20, &tar(&real_members("00000", 20)));
    let index = shards.index();
    std::fs::write(&path, tar(&real_members("00000", 19))).unwrap();
    let error = batches(config(&index, 1, 4), 1).unwrap_err().to_string();
    assert!(
        error.contains("0.tar changed since it was indexed"),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    let mut loader = Loader::start(config(&index, 1, 4)).unwrap();
    let error = loader.next_batch(PATIENCE).unwrap_err().to_string();
    assert!(error.contains("0.tar does not exist"), "{error}");
    assert!(matches!(
        loader.next_batch(PATIENCE),
        Err(LoaderError::Stopped)
    ));
}

#[test]
fn a_lane_without_a_good_sample_is_an_error_not_a_loop() {
    let mut members = real_members("00000", 12);
    for (name, body) in &mut members {
        if name.ends_with(".jpg") {
            body.truncate(20);
        }
    }
    let mut shards = Shards::new();
    shards.add("0.tar", 12, &tar(&members));
    let error = batches(config(&shards.index(), 2, 4), 1).unwrap_err();
    assert!(matches!(error, LoaderError::BarrenLane { .. }), "{error}");
    assert!(error.to_string().contains("0.tar"), "{error}");
}
