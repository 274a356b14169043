//! The same samples in every world, after every stop, within every lease.

use crate::shards::{PATIENCE, batches, config, emoji_index};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use twinspan_data::{Loader, LoaderConfig, LoaderError, LocalBatch, SampleKey};
use twinspan_types::config::AugmentationConfig;
use twinspan_types::{Cursor, Index, LaneId, LaneTable, Rank, Step, StreamId, WorldSize};

const LANES: u32 = 8;
const STEPS: usize = 12;

/// What all ranks' batches of a step hold together, by lane.
type Whole = (
    Vec<(SampleKey, Vec<u8>, Vec<u32>)>,
    u64,
    Vec<(StreamId, Cursor)>,
);

fn whole(ranks: Vec<LocalBatch>) -> Whole {
    let size = 32 * 32 * 3;
    let hash = ranks
        .iter()
        .fold(0, |sum: u64, batch| sum.wrapping_add(batch.key_hash));
    let mut rows = Vec::new();
    let mut cursors = Vec::new();
    for batch in ranks {
        cursors.extend(batch.cursors);
        let pixels = batch.pixels.chunks(size).map(<[u8]>::to_vec);
        for ((key, pixels), caption) in batch.keys.into_iter().zip(pixels).zip(batch.captions) {
            rows.push((key, pixels, caption));
        }
    }
    rows.sort();
    cursors.sort();
    (rows, hash, cursors)
}

fn world(index: &Arc<Index>, size: u32, change: impl Fn(&mut LoaderConfig)) -> Vec<Whole> {
    let table = LaneTable::deal(LANES, 2, WorldSize(size));
    let mut ranks: Vec<_> = (0..size)
        .map(|rank| {
            let mut config = config(index, LANES, 6);
            config.lanes = table.lanes_of(Rank(rank)).collect();
            config.lane_group = 2;
            change(&mut config);
            batches(config, STEPS).unwrap().into_iter()
        })
        .collect();
    (0..STEPS)
        .map(|_| whole(ranks.iter_mut().map(|rank| rank.next().unwrap()).collect()))
        .collect()
}

#[test]
fn every_world_has_the_same_samples_and_hash_at_every_step() {
    let index = emoji_index();
    let alone = world(&index, 1, |_| {});
    for size in 2..=4 {
        assert!(world(&index, size, |_| {}) == alone, "world of {size}");
    }
}

#[test]
fn a_sample_has_the_same_colours_in_every_world() {
    let index = emoji_index();
    let coloured = |config: &mut LoaderConfig| {
        config.augmentation = AugmentationConfig {
            color_jitter: Some([0.32, 0.32, 0.32, 0.08]),
            color_jitter_prob: 0.8,
            gray_scale_prob: 0.2,
        };
    };
    let alone = world(&index, 1, coloured);
    for size in 2..=4 {
        assert!(world(&index, size, coloured) == alone, "world of {size}");
    }
    let plain = world(&index, 1, |_| {});
    let rows = |steps: Vec<Whole>| steps.into_iter().flat_map(|(rows, ..)| rows);
    let (mut changed, mut grey, mut all) = (0, 0, 0);
    for ((key, pixels, caption), (plain_key, plain, plain_caption)) in rows(alone).zip(rows(plain))
    {
        assert_eq!((key, caption), (plain_key, plain_caption));
        let is_grey = |rgb: &[u8]| rgb[0] == rgb[1] && rgb[1] == rgb[2];
        let turned_grey = pixels.chunks(3).all(is_grey) && !plain.chunks(3).all(is_grey);
        all += 1;
        changed += i32::from(pixels != plain);
        grey += i32::from(turned_grey);
    }
    // 84 in 100 change: those that jitter, and a fifth of the rest.
    assert!(
        (78..90).contains(&(100 * changed / all)),
        "{changed} of {all}"
    );
    assert!(
        (14..26).contains(&(100 * grey / all)),
        "{grey} of {all} grey"
    );
}

#[test]
fn threads_and_memory_change_nothing() {
    let index = emoji_index();
    let usual = world(&index, 1, |_| {});
    let tight = world(&index, 1, |config| {
        config.decode_threads = 5;
        config.prefetch_bytes = 1;
    });
    assert!(tight == usual);
}

#[test]
fn rows_stand_in_the_order_of_the_lanes() {
    let index = emoji_index();
    for batch in batches(config(&index, LANES, 3), 2).unwrap() {
        let lanes: Vec<u32> = batch.keys.iter().map(|key| key.lane.0).collect();
        assert_eq!(
            lanes,
            (0..LANES).flat_map(|lane| [lane; 3]).collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_stopped_run_goes_on_the_same_from_any_step() {
    let index = emoji_index();
    // 45 steps of 96 samples pass into the second epoch.
    let undisturbed = batches(config(&index, LANES, 12), 50).unwrap();
    for stop in [1, 2, 7, 43, 44, 46] {
        let mut resumed = config(&index, LANES, 12);
        resumed.start = Step(stop);
        resumed.cursors = undisturbed[stop as usize - 1]
            .cursors
            .iter()
            .map(|(_, cursor)| *cursor)
            .collect();
        let rest = batches(resumed, 4).unwrap();
        assert!(
            rest[..] == undisturbed[stop as usize..][..4],
            "after step {stop}"
        );
    }
}

#[test]
fn no_batch_is_made_beyond_the_lease() {
    let index = emoji_index();
    let mut config = config(&index, LANES, 4);
    let (lease, held) = watch::channel(Step(2));
    config.lease = held;
    let mut loader = Loader::start(config).unwrap();
    for step in 1..=2 {
        assert_eq!(loader.next_batch(PATIENCE).unwrap().step, Step(step));
    }
    let error = loader.next_batch(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(
        error,
        LoaderError::TimedOut {
            step: Step(3),
            what: "a lease",
            ..
        }
    ));
    lease.send(Step(3)).unwrap();
    assert_eq!(loader.next_batch(PATIENCE).unwrap().step, Step(3));
    drop(lease);
    assert!(loader.next_batch(Duration::from_millis(50)).is_err());
}

#[test]
fn dropping_a_loader_at_any_time_ends_its_threads() {
    let index = emoji_index();
    for taken in 0..6 {
        let mut loader = Loader::start(config(&index, LANES, 16)).unwrap();
        for _ in 0..taken {
            loader.next_batch(PATIENCE).unwrap();
        }
        drop(loader);
    }
}

#[test]
fn lanes_that_are_no_whole_groups_are_refused() {
    let index = emoji_index();
    let mut broken = config(&index, LANES, 4);
    broken.lane_group = 2;
    broken.lanes = vec![LaneId(1), LaneId(2)];
    let error = Loader::start(broken).unwrap_err().to_string();
    assert!(error.contains("not whole groups of 2"), "{error}");
    let mut broken = config(&index, LANES, 4);
    broken.cursors.pop();
    assert!(Loader::start(broken).is_err());
}
