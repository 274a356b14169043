use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use twinspan_types::{LaneTable, Rank, ShardEntry, WorldSize};

fn index(samples: &[u64]) -> Index {
    let shards = samples.iter().enumerate().map(|(n, &samples)| ShardEntry {
        url: format!("file:///{n}.tar"),
        samples,
        bytes: 0,
        etag: None,
    });
    Index {
        shards: shards.collect(),
    }
}

/// A lane's samples from a cursor on, as a reader goes through the windows, each with the cursor
/// after it.
fn walk(plan: &Plan, lane: LaneId, from: Cursor, count: usize) -> Vec<(SampleId, Cursor)> {
    let mut walked = Vec::new();
    let mut cursor = plan.canonical(lane, from);
    while walked.len() < count {
        let epoch = plan.epoch(cursor.epoch);
        let window = epoch.window(lane, epoch.window_at(cursor.passed));
        for line in &window.order[(cursor.passed - window.start) as usize..] {
            let (shard, index_in_shard) = window.sample(u64::from(*line)).expect("in the window");
            cursor.passed += 1;
            let after = plan.canonical(lane, cursor);
            walked.push((
                SampleId {
                    epoch: cursor.epoch,
                    lane,
                    shard,
                    index_in_shard,
                },
                after,
            ));
        }
        cursor = plan.canonical(lane, cursor);
    }
    walked.truncate(count);
    walked
}

fn plans() -> impl Strategy<Value = (Vec<u64>, Plan)> {
    let shards = prop::collection::vec(0_u64..40, 1..20);
    (shards, 1_u32..12, 1_u64..50, any::<u64>()).prop_filter_map(
        "fewer samples than lanes",
        |(samples, lanes, shuffle_window, seed)| {
            let plan = Plan::new(
                &index(&samples),
                Order {
                    seed,
                    lanes,
                    shuffle_window,
                },
            )
            .ok()?;
            Some((samples, plan))
        },
    )
}

proptest! {
    #[test]
    fn every_epoch_gives_each_sample_once_over_the_lanes(
        (samples, plan) in plans(), epoch in 0_u64..30,
    ) {
        let epoch = Epoch(epoch);
        let epoch_plan = plan.epoch(epoch);
        let mut seen = BTreeSet::new();
        let mut lengths = BTreeSet::new();
        for lane in (0..plan.order().lanes).map(LaneId) {
            let length = plan.lane_length(epoch, lane);
            prop_assert_eq!(length, epoch_plan.lane_length(lane));
            lengths.insert(length);
            let walked = walk(&plan, lane, Cursor { epoch, passed: 0 }, length as usize);
            for (sample, after) in walked {
                prop_assert_eq!(sample.epoch, epoch);
                prop_assert!(seen.insert((sample.shard, sample.index_in_shard)));
                prop_assert!(after.epoch == epoch || after.passed == 0);
            }
        }
        let whole = (0..).map(ShardId).zip(&samples);
        let whole: BTreeSet<_> =
            whole.flat_map(|(id, count)| (0..*count).map(move |n| (id, n))).collect();
        prop_assert_eq!(seen, whole);
        let spread = lengths.last().zip(lengths.first()).map(|(most, least)| most - least);
        prop_assert!(spread <= Some(1));
    }

    #[test]
    fn resuming_from_any_cursor_goes_on_the_same(
        (_, plan) in plans(), lane in 0_u32..12, stop in 0_usize..150,
    ) {
        let lane = LaneId(lane % plan.order().lanes);
        let whole = walk(&plan, lane, Cursor::default(), 200);
        let cursor = stop.checked_sub(1).map_or(Cursor::default(), |last| whole[last].1);
        prop_assert_eq!(&whole[stop..], &walk(&plan, lane, cursor, 200 - stop)[..]);
    }

    #[test]
    fn lanes_stay_level_over_all_epochs((_, plan) in plans(), epochs in 1_u64..40) {
        let passed = (0..plan.order().lanes).map(LaneId).map(|lane| {
            (0..epochs).map(|epoch| plan.lane_length(Epoch(epoch), lane)).sum::<u64>()
        });
        let passed: BTreeSet<u64> = passed.collect();
        prop_assert!(passed.last().zip(passed.first()).map(|(most, least)| most - least) <= Some(1));
    }

    #[test]
    fn a_step_has_the_same_samples_in_every_world(
        (_, plan) in plans(), world in 1_u32..5, step in 0_usize..20,
    ) {
        let per_lane = 3;
        let of_lanes = |lanes: Vec<LaneId>| -> BTreeSet<SampleId> {
            let walks = lanes.into_iter().map(|lane| {
                walk(&plan, lane, Cursor::default(), (step + 1) * per_lane).split_off(step * per_lane)
            });
            walks.flatten().map(|(sample, _)| sample).collect()
        };
        let world = world.min(plan.order().lanes);
        let table = LaneTable::deal(plan.order().lanes, 1, WorldSize(world));
        let together: BTreeSet<SampleId> =
            (0..world).flat_map(|rank| of_lanes(table.lanes_of(Rank(rank)).collect())).collect();
        prop_assert_eq!(together, of_lanes((0..plan.order().lanes).map(LaneId).collect()));
    }
}

#[test]
fn fewer_samples_than_lanes_are_refused() {
    let order = Order {
        seed: 0,
        lanes: 8,
        shuffle_window: 4,
    };
    assert!(Plan::new(&index(&[3, 4]), order).is_err());
    assert!(Plan::new(&index(&[3, 5]), order).is_ok());
}

#[test]
fn epochs_lanes_and_seeds_have_orders_of_their_own() {
    let order = |seed| Order {
        seed,
        lanes: 2,
        shuffle_window: 100,
    };
    let index = index(&[100, 100, 100, 100]);
    let window = |seed, epoch, lane| {
        let plan = Plan::new(&index, order(seed)).expect("enough samples");
        plan.epoch(Epoch(epoch)).window(LaneId(lane), 0).order
    };
    let orders = [
        window(0, 0, 0),
        window(1, 0, 0),
        window(0, 1, 0),
        window(0, 0, 1),
    ];
    assert_eq!(orders.iter().collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn four_hundred_million_samples_have_windows_in_every_lane() {
    let samples = vec![10_000; 40_000];
    let order = Order {
        seed: 7,
        lanes: 4096,
        shuffle_window: 1024,
    };
    let plan = Plan::new(&index(&samples), order).expect("enough samples");
    let epoch = plan.epoch(Epoch(3));
    let mut planned = 0;
    for lane in (0..4096).map(LaneId) {
        planned += epoch.window(lane, epoch.windows(lane) - 1).order.len();
        planned += epoch.window(lane, 0).order.len();
    }
    assert!(planned > 4096 * 1024);
}
