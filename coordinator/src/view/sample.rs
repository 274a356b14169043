//! A view with something of everything, for tests.

use super::{Past, View};
use std::path::Path;
use std::time::Duration;
use twinspan_coordinator_core::{Action, Topic};
use twinspan_types::{
    CheckpointName, Cursor, Epoch, Evaluation, Fact, Generation, Index, LaneId, LaneTable,
    Manifest, Member, Nonce, Part, Phase, Quarantine, Rank, RankSpan, RankStatus, RankTrace,
    RunConfig, RunState, RunStatus, SampleReason, ShardEntry, ShardId, Skip, SkipReason, SpanName,
    Step, StepMetrics, StepReport, Straggler, Term, TraceKind, Vitals, WorkerId, WorldSize,
};

/// When all of it happens.
pub const NOW: Duration = Duration::from_secs(1_764_100_000);

/// The step that is shown in full.
pub const SAMPLED: Step = Step(10);

/// A run of two lanes.
pub fn config() -> RunConfig {
    let text = "
run: sample
output: runs
model: {}
data: {train: 's3://bucket/{0..3}.tar', lanes: 2, shuffle_window: 4}
train: {global_batch: 4, steps: 100}
cluster: {workers: 2}
";
    RunConfig::parse(text, Path::new("the sample"), Path::new("/")).expect("good")
}

/// Its dataset.
pub fn index() -> Index {
    let shards = (0..4).map(|number| ShardEntry {
        url: format!("s3://bucket/{number}.tar"),
        samples: 10,
        bytes: 100,
        etag: None,
    });
    Index::of_one_source(shards.collect())
}

/// A view before anything has happened.
pub fn empty() -> View {
    View::new(&config(), index(), Past::default()).expect("enough samples")
}

fn worker(rank: u32) -> WorkerId {
    WorkerId(format!("1-{rank}"))
}

/// The record of a generation of two.
pub fn formed(generation: u64, start: u64) -> Fact {
    let member = |rank| Member {
        worker: worker(rank),
        address: format!("10.0.0.{rank}:40000"),
    };
    Fact::WorldFormed {
        generation: Generation(generation),
        members: vec![member(0), member(1)],
        lanes: LaneTable::deal(2, 1, WorldSize(2)),
        start: Step(start),
    }
}

/// A committed step.
pub fn step(step: u64) -> StepReport {
    let cursor = Cursor {
        epoch: Epoch(0),
        passed: step.min(19),
    };
    StepReport {
        step: Step(step),
        metrics: metrics(),
        cursors: vec![cursor; 2],
        sample_hash: step,
        skips: Vec::new(),
    }
}

fn metrics() -> StepMetrics {
    StepMetrics {
        loss: 3.1,
        logit_scale: 14.2,
        lr: 5e-4,
        grad_norm: 1.2,
        data_time: 0.01,
        batch_time: 0.13,
        samples_per_second: 950.1,
    }
}

/// A checkpoint's manifest.
pub fn manifest(step: u64) -> Manifest {
    Manifest {
        version: 1,
        run: "sample".to_owned(),
        name: CheckpointName {
            step: Step(step),
            attempt: Nonce(7),
        },
        generation: Generation(1),
        world_size: WorldSize(2),
        seed: 0,
        cursors: vec![Cursor::default(); 2],
        parts: vec![Part {
            name: Manifest::MODEL_FILE.to_owned(),
            bytes: 1_500_000,
            sha256: String::new(),
        }],
    }
}

/// A finished evaluation.
pub fn evaluation(step: u64) -> Evaluation {
    Evaluation {
        step: Step(step),
        metrics: [("val/emoji-zeroshot-val-top1".to_owned(), 0.388)].into(),
    }
}

/// A skipped sample.
pub fn skip(step: u64) -> Skip {
    Skip {
        step: Step(step),
        lane: LaneId(1),
        epoch: Epoch(0),
        shard: "s3://bucket/2.tar".to_owned(),
        key: "000007".to_owned(),
        reason: SkipReason::CorruptImage,
        detail: "no picture".to_owned(),
    }
}

/// How a rank spent a step.
pub fn trace(step: u64, sampled: Option<SampleReason>) -> RankTrace {
    let span = |name, offset_us, duration_us| RankSpan {
        name,
        detail: None,
        offset_us,
        duration_us,
    };
    RankTrace {
        kind: TraceKind::Step(Step(step)),
        generation: Generation(1),
        started: NOW,
        duration_us: 130_000,
        sampled,
        spans: vec![
            span(SpanName::DataWait, 0, 10_000),
            span(SpanName::Backward, 10_000, 100_000),
        ],
    }
}

/// A view in which everything has happened.
pub fn full() -> View {
    let mut view = empty();
    view.logged(NOW, &formed(1, 0));
    view.meet(&status());
    let generation = Generation(1);
    let manifest = manifest(8);
    let sampled = Some(SampleReason::Interval);
    let quarantine = Quarantine {
        shard: ShardId(3),
        url: "s3://bucket/3.tar".to_owned(),
        samples: 10,
        reason: "gone".to_owned(),
        from: Vec::new(),
    };
    for action in [
        Action::AppendMetrics(generation, (1..=10).map(step).collect()),
        Action::AppendEvaluations(generation, vec![evaluation(8)]),
        Action::AppendSkips(generation, vec![skip(3)]),
        Action::Trace(Rank(0), vec![trace(SAMPLED.0, sampled)]),
        Action::Trace(Rank(1), vec![trace(SAMPLED.0, sampled)]),
        Action::StoreManifest(manifest.clone()),
        Action::Tell(Topic::Lost, "worker 1-2 was lost".to_owned()),
    ] {
        view.note(NOW, &action);
    }
    view.logged(
        NOW,
        &Fact::CheckpointCommitted {
            name: manifest.name,
            generation,
        },
    );
    view.logged(NOW, &Fact::ShardQuarantined(quarantine));
    view
}

/// The core's own look at it.
pub fn status() -> RunStatus {
    let rank = |rank| RankStatus {
        rank: Rank(rank),
        worker: worker(rank),
        host: format!("node-{rank}"),
        pid: 4711,
        address: format!("10.0.0.{rank}:40000"),
        phase: Phase::Compute,
        step: Step(10),
        heartbeat_age: Duration::from_millis(400),
        lease_age: Some(Duration::from_secs(3)),
        device: "cpu".to_owned(),
        vitals: Vitals {
            memory_bytes: 800 << 20,
            device_memory_bytes: Some(1 << 30),
            sent_bytes: 5,
            received_bytes: 6,
        },
        draining: false,
    };
    RunStatus {
        run: "sample".to_owned(),
        state: RunState::Training,
        message: "next checkpoint at step 16".to_owned(),
        term: Term(1),
        generation: Generation(1),
        step: Step(10),
        total_steps: Step(100),
        metrics: Some(metrics()),
        global_batch: 4,
        skipped: 11,
        checkpoint: Some(manifest(8).name.directory()),
        ranks: vec![rank(0), rank(1)],
        training_time: Duration::from_secs(33),
        start: Step(0),
        evaluation: Some(evaluation(8)),
        straggler: Some(Straggler {
            rank: Rank(1),
            worker: worker(1),
            host: "node-1".to_owned(),
            phase: SpanName::Decode,
            excess: Duration::from_millis(310),
            from: Step(3),
            through: Step(10),
        }),
    }
}
