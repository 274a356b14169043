use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use twinspan_types::config::Captions;
use twinspan_types::{LaneTable, Rank, ShardEntry, SourceEntry, Step, WorldSize};

fn index(samples: &[u64]) -> Index {
    let shards = samples.iter().enumerate().map(|(n, &samples)| ShardEntry {
        url: format!("file:///{n}.tar"),
        samples,
        bytes: 0,
        etag: None,
    });
    Index::of_one_source(shards.collect())
}

/// An index of several sources with these weights.
fn mixed(sources: &[(f64, Vec<u64>)]) -> Index {
    let all: Vec<u64> = sources
        .iter()
        .flat_map(|(_, samples)| samples.clone())
        .collect();
    let entry = |(weight, samples): &(f64, Vec<u64>)| SourceEntry {
        shards: samples.len() as u32,
        weight: *weight,
        captions: Captions::default(),
    };
    Index {
        sources: sources.iter().map(entry).collect(),
        ..index(&all)
    }
}

/// A lane's samples from a cursor on, as a reader goes through the windows, each with the cursor
/// after it.
fn walk(plan: &SourcePlan, lane: LaneId, from: Cursor, count: usize) -> Vec<(SampleId, Cursor)> {
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

/// One of two sources, as the samples of its shards by their ids.
fn plans() -> impl Strategy<Value = (Vec<(ShardId, u64)>, SourcePlan)> {
    let shards = || prop::collection::vec(0_u64..40, 1..20);
    (
        shards(),
        shards(),
        0_u32..2,
        1_u32..12,
        1_u64..50,
        any::<u64>(),
    )
        .prop_filter_map(
            "fewer samples than lanes",
            |(first, second, source, lanes, shuffle_window, seed)| {
                let index = mixed(&[(1.0, first), (2.0, second)]);
                let order = Order {
                    seed,
                    lanes,
                    shuffle_window,
                };
                let plan = Plan::new(&index, order).ok()?;
                let ids = index.shards_of(SourceId(source)).map(ShardId);
                let samples = ids.map(|id| (id, index.shard(id).samples));
                Some((samples.collect(), plan.source(SourceId(source)).clone()))
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
        for lane in (0..plan.order.lanes).map(LaneId) {
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
        let whole: BTreeSet<_> =
            samples.iter().flat_map(|(id, count)| (0..*count).map(move |n| (*id, n))).collect();
        prop_assert_eq!(seen, whole);
        let spread = lengths.last().zip(lengths.first()).map(|(most, least)| most - least);
        prop_assert!(spread <= Some(1));
    }

    #[test]
    fn resuming_from_any_cursor_goes_on_the_same(
        (_, plan) in plans(), lane in 0_u32..12, stop in 0_usize..150,
    ) {
        let lane = LaneId(lane % plan.order.lanes);
        let whole = walk(&plan, lane, Cursor::default(), 200);
        let cursor = stop.checked_sub(1).map_or(Cursor::default(), |last| whole[last].1);
        prop_assert_eq!(&whole[stop..], &walk(&plan, lane, cursor, 200 - stop)[..]);
    }

    #[test]
    fn lanes_stay_level_over_all_epochs((_, plan) in plans(), epochs in 1_u64..40) {
        let passed = (0..plan.order.lanes).map(LaneId).map(|lane| {
            (0..epochs).map(|epoch| plan.lane_length(Epoch(epoch), lane)).sum::<u64>()
        });
        let passed: BTreeSet<u64> = passed.collect();
        prop_assert!(passed.last().zip(passed.first()).map(|(most, least)| most - least) <= Some(1));
    }

    #[test]
    fn a_step_has_the_same_samples_in_every_world_and_after_every_stop(
        sources in prop::collection::vec((0.1_f64..5.0, prop::collection::vec(20_u64..40, 1..6)), 1..4),
        (lanes, seed, per_lane) in (1_u32..12, any::<u64>(), 1_u32..6),
        (world, steps, stop) in (1_u32..5, 1_u64..20, 0_u64..20),
    ) {
        let order = Order { seed, lanes, shuffle_window: 16 };
        let plan = Plan::new(&mixed(&sources), order).expect("enough samples");
        // What these lanes draw in the steps, going on from where each source stood.
        let walk_on = |lanes: &[LaneId], steps: std::ops::Range<u64>, from: &mut Positions| {
            let mut drawn = BTreeSet::new();
            for step in steps {
                for lane in lanes {
                    for source in plan.mix().sources(*lane, Step(step + 1), per_lane) {
                        let cursor = from.entry((*lane, source)).or_default();
                        let walked = walk(plan.source(source), *lane, *cursor, 1);
                        drawn.insert((step, source, walked[0].0));
                        *cursor = walked[0].1;
                    }
                }
            }
            drawn
        };
        let all: Vec<LaneId> = (0..lanes).map(LaneId).collect();
        let undisturbed = walk_on(&all, 0..steps, &mut Positions::new());
        prop_assert_eq!(undisturbed.len() as u64, steps * u64::from(lanes * per_lane));

        let table = LaneTable::deal(lanes, 1, WorldSize(world.min(lanes)));
        let (stop, mut positions) = (stop.min(steps), Positions::new());
        let mut together = walk_on(&all, 0..stop, &mut positions);
        for rank in 0..world.min(lanes) {
            let lanes: Vec<LaneId> = table.lanes_of(Rank(rank)).collect();
            together.extend(walk_on(&lanes, stop..steps, &mut positions));
        }
        prop_assert_eq!(together, undisturbed);
    }
}

type Positions = std::collections::BTreeMap<(LaneId, SourceId), Cursor>;

#[test]
fn a_lanes_beginning_is_what_its_whole_windows_hold() {
    let order = Order {
        seed: 3,
        lanes: 2,
        shuffle_window: 8,
    };
    let plan = Plan::new(&index(&[10, 30, 5]), order).expect("enough samples");
    let epoch = plan.source(SourceId(0)).epoch(Epoch(1));
    let lines = |segments: Vec<Segment>| -> Vec<(ShardId, u64)> {
        let line = |segment: &Segment| {
            let Segment {
                shard,
                first,
                count,
            } = *segment;
            (first..first + count).map(move |place| (shard, place))
        };
        segments.iter().flat_map(line).collect()
    };
    let windows = (0..2).flat_map(|number| lines(epoch.window(LaneId(1), number).segments));
    assert_eq!(
        lines(epoch.beginning(LaneId(1), 16)),
        windows.collect::<Vec<_>>()
    );
    assert!(epoch.beginning(LaneId(1), 0).is_empty());
    let whole = lines(epoch.beginning(LaneId(1), u64::MAX));
    assert_eq!(whole.len() as u64, epoch.lane_length(LaneId(1)));
}

#[test]
fn sources_are_drawn_by_their_weights() {
    let mix = Mix::new(5, &[1.0, 3.0, 0.5]);
    let mut drawn = [0_u32; 3];
    for lane in (0..4).map(LaneId) {
        for draw in 0..5000 {
            drawn[mix.source(lane, draw).index()] += 1;
        }
    }
    for (drawn, weight) in drawn.into_iter().zip([1.0, 3.0, 0.5]) {
        let share = f64::from(drawn) / 20_000.0;
        // Four deviations of 20,000 draws.
        assert!((share - weight / 4.5).abs() < 0.014, "{share} for {weight}");
    }
    assert_eq!(Mix::new(5, &[2.0]).source(LaneId(9), 7), SourceId(0));
}

#[test]
fn sources_of_the_same_shape_have_orders_of_their_own() {
    let index = mixed(&[(1.0, vec![100, 100]), (1.0, vec![100, 100])]);
    let order = Order {
        seed: 3,
        lanes: 2,
        shuffle_window: 100,
    };
    let plan = Plan::new(&index, order).expect("enough samples");
    let window = |source| {
        plan.source(SourceId(source))
            .epoch(Epoch(0))
            .window(LaneId(0), 0)
    };
    assert_ne!(window(0).order, window(1).order);
    assert!(
        window(1)
            .segments
            .iter()
            .all(|segment| segment.shard.0 >= 2)
    );
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
        let plan = plan.source(SourceId(0));
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
    let epoch = plan.source(SourceId(0)).epoch(Epoch(3));
    let mut planned = 0;
    for lane in (0..4096).map(LaneId) {
        planned += epoch.window(lane, epoch.windows(lane) - 1).order.len();
        planned += epoch.window(lane, 0).order.len();
    }
    assert!(planned > 4096 * 1024);
}
