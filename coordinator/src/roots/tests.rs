use super::*;
use twinspan_types::{LaneTable, Member, Nonce, Rank, WorkerId};

const RUN: &str = "file:///runs/a";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn formed(generation: u64, ranks: u32) -> Fact {
    let member = |rank| Member {
        worker: WorkerId(format!("w1-{rank}")),
        address: "h:1".to_owned(),
    };
    Fact::WorldFormed {
        generation: Generation(generation),
        members: (0..ranks).map(member).collect(),
        lanes: LaneTable::new((0..ranks).map(Rank).collect()),
        start: Step(0),
    }
}

fn trace(kind: TraceKind, generation: u64, started: u64, length: u64) -> RankTrace {
    RankTrace {
        kind,
        generation: Generation(generation),
        started: seconds(started),
        duration_us: length * 1_000_000,
        sampled: Some(SampleReason::Interval),
        spans: Vec::new(),
    }
}

#[test]
fn a_steps_root_spans_all_ranks_and_appears_once_all_have_told() {
    let mut roots = Roots::new(RUN.to_owned());
    roots.begin(seconds(1), &formed(1, 2));
    roots.logged(seconds(2), &formed(1, 2));
    let step = TraceKind::Step(Step(5));
    assert!(roots.take(&[trace(step, 1, 11, 3)]).is_empty());
    let spans = roots.take(&[trace(step, 1, 10, 2)]);
    let [root] = spans.as_slice() else {
        panic!("{spans:?}");
    };
    assert_eq!((root.start, root.duration), (seconds(10), seconds(4)));
    assert_eq!((root.name.as_ref(), root.parent), ("step", None));
    assert_eq!(root.trace, TraceId::of_step(RUN, Step(5)));
    assert_eq!(root.span, SpanId::of_step(RUN, Generation(1), Step(5)));
    let mut unsampled = trace(TraceKind::Step(Step(6)), 1, 20, 1);
    unsampled.sampled = None;
    assert!(roots.take(&[unsampled.clone(), unsampled]).is_empty());
}

#[test]
fn a_generation_that_follows_a_loss_is_one_trace_from_the_loss_to_its_first_step() {
    let mut roots = Roots::new(RUN.to_owned());
    roots.logged(seconds(2), &formed(1, 2));
    // What the lost rank never tells of is closed with what is known.
    roots.take(&[trace(TraceKind::Step(Step(5)), 1, 10, 2)]);
    roots.lost(seconds(20), "rank 1 was lost: no word from it");
    roots.lost(seconds(21), "a second word");
    roots.begin(seconds(24), &formed(2, 1));
    let spans = roots.logged(seconds(25), &formed(2, 1));
    let names: Vec<_> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(names, ["step", "lost", "wait", "record"]);
    let root = SpanId::of_generation(RUN, Generation(2));
    assert!(spans[1..].iter().all(|span| span.parent == Some(root)));
    assert_eq!(
        (spans[2].start, spans[2].duration),
        (seconds(20), seconds(4))
    );
    let why = &spans[1].attributes[0].1;
    assert_eq!(why.as_str(), "rank 1 was lost: no word from it");
    let spans = roots.take(&[trace(TraceKind::Generation, 2, 22, 9)]);
    assert_eq!((spans[0].span, spans[0].parent), (root, None));
    assert_eq!(
        (spans[0].start, spans[0].duration),
        (seconds(20), seconds(11))
    );
}

#[test]
fn a_manifest_lies_in_the_trace_of_its_step() {
    let mut roots = Roots::new(RUN.to_owned());
    let name = CheckpointName {
        step: Step(8),
        attempt: Nonce(7),
    };
    let manifest = Manifest {
        version: 1,
        run: "a".to_owned(),
        name,
        generation: Generation(1),
        world_size: twinspan_types::WorldSize(1),
        seed: 0,
        cursors: Vec::new(),
        parts: Vec::new(),
    };
    roots.begin_manifest(seconds(3), &manifest);
    let generation = Generation(1);
    let committed = Fact::CheckpointCommitted { name, generation };
    let spans = roots.logged(seconds(5), &committed);
    assert_eq!(
        spans[0].parent,
        Some(SpanId::of_step(RUN, generation, Step(8)))
    );
    assert_eq!(
        (spans[0].start, spans[0].duration),
        (seconds(3), seconds(2))
    );
    assert!(roots.logged(seconds(6), &committed).is_empty());
}
