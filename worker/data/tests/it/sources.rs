//! Batches mixed of several sources.

use crate::shards::{Shards, batches, config, real_members, tar, written};
use std::collections::BTreeMap;
use std::sync::Arc;
use twinspan_data::{LocalBatch, audit};
use twinspan_types::{Index, LaneTable, Rank, ShardId, Step, WorldSize};

const LANES: u32 = 4;
const SAMPLES_PER_LANE: u32 = 3;
const STEPS: usize = 20;

/// Three times as much of the larger of two sources, which keeps its captions in JSON.
fn mixed() -> (Shards, Arc<Index>) {
    let mut shards = Shards::new();
    let mut members = real_members("00000", 40);
    for (name, body) in &mut members {
        if let Some(key) = name.strip_suffix(".txt") {
            let caption = String::from_utf8(body.clone()).unwrap();
            *body = serde_json::json!({"caption": caption, "width": 72})
                .to_string()
                .into();
            *name = format!("{key}.json");
        }
    }
    // One sample without a caption, and one whose picture is none.
    members[1].1 = br#"{"width": 72}"#.to_vec();
    members[2].1 = b"no picture".to_vec();
    shards.add("0.tar", 40, &tar(&members));
    shards.add("1.tar", 20, &tar(&real_members("00001", 20)));
    let index = shards.mixed(&[(3.0, "json:caption"), (1.0, "txt")]);
    (shards, index)
}

fn rows(batches: &[LocalBatch]) -> BTreeMap<u32, usize> {
    let mut rows = BTreeMap::new();
    for key in batches.iter().flat_map(|batch| &batch.keys) {
        *rows.entry(key.shard.0).or_default() += 1;
    }
    rows
}

#[test]
fn captions_are_read_where_each_source_keeps_them_and_weights_are_kept() {
    let (_shards, index) = mixed();
    let batches = batches(config(&index, LANES, SAMPLES_PER_LANE), STEPS).unwrap();
    let rows = rows(&batches);
    // 240 draws at 3 to 1: four deviations are 27.
    assert!((153..=207).contains(&rows[&0]), "{rows:?}");
    assert_eq!(rows[&0] + rows[&1], 240);
    let captions = batches.iter().flat_map(|batch| &batch.captions);
    assert!(captions.clone().all(|caption| caption.len() > 2));
    let details: Vec<&str> = batches
        .iter()
        .flat_map(|batch| &batch.skips)
        .map(|skip| skip.detail.as_str())
        .collect();
    assert!(
        details
            .iter()
            .any(|detail| detail.contains(r#"holds no text "caption""#)),
        "{details:?}"
    );
}

#[test]
fn mixed_batches_are_the_same_in_every_world_and_after_every_stop() {
    let (_shards, index) = mixed();
    let alone = batches(config(&index, LANES, SAMPLES_PER_LANE), STEPS).unwrap();
    let table = LaneTable::deal(LANES, 1, WorldSize(2));
    let ranks = [0, 1].map(|rank| {
        let mut config = config(&index, LANES, SAMPLES_PER_LANE);
        config.lanes = table.lanes_of(Rank(rank)).collect();
        batches(config, STEPS).unwrap()
    });
    for (step, whole) in alone.iter().enumerate() {
        let [first, second] = ranks.each_ref().map(|rank| &rank[step]);
        assert_eq!(whole.keys, [&first.keys[..], &second.keys[..]].concat());
        assert_eq!(
            whole.cursors,
            [&first.cursors[..], &second.cursors[..]].concat()
        );
    }
    for stop in [1, 5, 13] {
        let mut resumed = config(&index, LANES, SAMPLES_PER_LANE);
        resumed.start = Step(stop);
        let cursors = alone[stop as usize - 1].cursors.iter().map(|(_, at)| *at);
        resumed.cursors = cursors.collect();
        let rest = batches(resumed, 4).unwrap();
        assert!(rest[..] == alone[stop as usize..][..4], "after step {stop}");
    }
}

#[test]
fn the_ledger_of_mixed_sources_is_whole_for_each() {
    let (_shards, index) = mixed();
    let (files, keys, batches) = written(config(&index, LANES, SAMPLES_PER_LANE), STEPS);
    let report = audit(&files, &keys).unwrap();
    assert_eq!(report.faults, []);
    let whole: Vec<_> = report
        .epochs
        .iter()
        .filter(|epoch| epoch.left() == 0)
        .map(|epoch| (epoch.source.0, epoch.epoch.0, epoch.samples))
        .collect();
    assert!(
        whole.contains(&(0, 0, 40)) && whole.contains(&(1, 0, 20)),
        "{whole:?}"
    );
    let key = keys.key(ShardId(1), 3).unwrap();
    assert!(
        batches
            .iter()
            .any(|batch| batch.keys.iter().any(|row| row.key == key))
    );
}
