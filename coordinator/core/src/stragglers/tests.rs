use super::*;
use twinspan_types::{
    Directive, Generation, LaneTable, Member, Nonce, RankSpan, Term, WorkerId, WorldSize,
};

const MS: u64 = 1000;

fn world(ranks: u32, lanes: u32) -> World {
    let member = |rank: u32| Member {
        worker: WorkerId(format!("w1-{rank}")),
        address: "h:1".to_owned(),
    };
    World {
        term: Term(1),
        generation: Generation(1),
        members: (0..ranks).map(member).collect(),
        lanes: LaneTable::deal(lanes, 1, WorldSize(ranks)),
        start: Step(0),
        restore: None,
        source: None,
        passed_over: Vec::new(),
        quarantines: Vec::new(),
        token: Nonce(1),
        directive: Directive {
            term: Term(1),
            sequence: 0,
            at_step: Step(0),
            checkpoint: None,
            stop: false,
            reform: false,
        },
    }
}

/// A step in which all ranks end together after the slowest: `own[r]` is what rank r needs, by span.
fn step(found: &mut Stragglers, number: u64, own: &[&[(SpanName, u64)]]) -> Option<Finding> {
    let needs = |spans: &[(SpanName, u64)]| {
        let counted = spans.iter().filter(|(name, _)| is_own(*name));
        counted.map(|(_, time)| time).sum::<u64>()
    };
    let length = own.iter().map(|spans| needs(spans)).max().unwrap_or(0) + MS;
    let mut result = None;
    for (rank, spans) in own.iter().enumerate() {
        let waits = (SpanName::AllReduce, length - needs(spans));
        let spans = spans.iter().chain([&waits]);
        let trace = RankTrace {
            kind: TraceKind::Step(Step(number)),
            generation: Generation(1),
            started: Duration::from_secs(number),
            duration_us: length,
            sampled: None,
            spans: spans
                .map(|(name, duration_us)| RankSpan {
                    name: *name,
                    detail: None,
                    offset_us: 0,
                    duration_us: *duration_us,
                })
                .collect(),
        };
        if let Some(finding) = found.take(Rank(rank as u32), &trace) {
            result = finding;
        }
    }
    result
}

#[test]
fn a_rank_that_decodes_slowly_is_named_with_decode_within_ten_steps() {
    let mut found = Stragglers::of(&world(3, 6));
    let even: &[_] = &[(SpanName::DataWait, MS), (SpanName::Backward, 40 * MS)];
    let late: &[_] = &[
        (SpanName::DataWait, 60 * MS),
        (SpanName::Decode, 95 * MS),
        (SpanName::Backward, 40 * MS),
    ];
    let named = (1..=10).find_map(|number| step(&mut found, number, &[even, late, even]));
    let named = named.expect("named");
    assert_eq!((named.rank, named.phase), (Rank(1), SpanName::Decode));
    assert_eq!(named.excess, Duration::from_millis(59));
    // The first step counts for nothing, and four are needed.
    assert_eq!((named.from, named.through), (Step(2), Step(5)));
}

#[test]
fn of_two_ranks_the_slower_one_is_named_with_what_it_does() {
    let mut found = Stragglers::of(&world(2, 4));
    let fast: &[_] = &[(SpanName::DataWait, 0), (SpanName::ImageForward, 20 * MS)];
    let slow: &[_] = &[(SpanName::DataWait, 0), (SpanName::ImageForward, 50 * MS)];
    let named = (1..=10).find_map(|number| step(&mut found, number, &[slow, fast]));
    let named = named.expect("named");
    assert_eq!((named.rank, named.phase), (Rank(0), SpanName::ImageForward));
}

#[test]
fn samples_that_come_late_from_the_store_are_no_decoders_fault() {
    let mut found = Stragglers::of(&world(3, 6));
    let even: &[_] = &[(SpanName::Decode, 5 * MS), (SpanName::Backward, 40 * MS)];
    let late: &[_] = &[
        (SpanName::DataWait, 60 * MS),
        (SpanName::Decode, 5 * MS),
        (SpanName::Backward, 40 * MS),
    ];
    let named = (1..=10).find_map(|number| step(&mut found, number, &[even, even, late]));
    assert_eq!(named.expect("named").phase, SpanName::DataWait);
}

#[test]
fn a_rank_with_more_lanes_holds_nobody_up_by_taking_longer() {
    let mut found = Stragglers::of(&world(3, 4));
    // Lanes are dealt 1, 1, 2.
    let one: &[_] = &[(SpanName::Backward, 20 * MS)];
    let two: &[_] = &[(SpanName::Backward, 40 * MS)];
    for number in 1..=20 {
        let lanes = [0, 1, 2].map(|rank| world(3, 4).lanes.lanes_of(Rank(rank)).count());
        let own = lanes.map(|lanes| if lanes == 1 { one } else { two });
        assert_eq!(step(&mut found, number, &own), None);
    }
}

#[test]
fn one_slow_step_names_nobody_and_a_rank_that_catches_up_is_let_off() {
    let mut found = Stragglers::of(&world(2, 4));
    let even: &[_] = &[(SpanName::Backward, 20 * MS)];
    let slow: &[_] = &[(SpanName::Backward, 60 * MS)];
    for number in 1..=8 {
        let other = if number == 5 { slow } else { even };
        assert_eq!(step(&mut found, number, &[even, other]), None);
    }
    let named = (9..=18).filter_map(|number| step(&mut found, number, &[even, slow]));
    assert!(named.count() > 0);
    let after = (19..=26).map(|number| step(&mut found, number, &[even, even]));
    assert_eq!(after.last().flatten(), None);
}

#[test]
fn a_step_that_a_rank_never_tells_of_holds_nothing_up() {
    let mut found = Stragglers::of(&world(2, 4));
    let even: &[_] = &[(SpanName::Backward, 20 * MS)];
    let slow: &[_] = &[(SpanName::Backward, 60 * MS)];
    step(&mut found, 2, &[even]);
    let named = (3..=12).find_map(|number| step(&mut found, number, &[even, slow]));
    assert!(named.is_some());
    assert!(found.open.is_empty());
}
