//! Time and memory of planning an epoch of 400 million samples in 40,000 shards over 4,096 lanes.
//!
//!     cargo bench -p twinspan-data --bench plan

use peak_alloc::PeakAlloc;
use std::time::Instant;
use twinspan_data::{Order, Plan};
use twinspan_types::{Epoch, Index, LaneId, ShardEntry, SourceId};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const SHARDS: u64 = 40_000;
const SAMPLES: u64 = 10_000;
const LANES: u32 = 4096;

fn main() {
    let shards = (0..SHARDS).map(|n| ShardEntry {
        url: format!("s3://bucket/set/{n:05}.tar"),
        samples: SAMPLES - n % 7,
        bytes: 300 << 20,
        etag: None,
    });
    let index = Index::of_one_source(shards.collect());
    let order = Order {
        seed: 0,
        lanes: LANES,
        shuffle_window: 1024,
    };
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let begun = Instant::now();
    let plan = Plan::new(&index, order).expect("enough samples");
    let epoch = plan.source(SourceId(0)).epoch(Epoch(3));
    let planned = begun.elapsed();
    // What a world of one rank asks for next: every lane's first window.
    let windows: usize = (0..LANES)
        .map(|lane| epoch.window(LaneId(lane), 0).order.len())
        .sum();
    println!(
        "{} samples: planned in {:.1} ms, with the first window of {LANES} lanes ({windows} \
         samples) in {:.1} ms, {:.2} MB at the most",
        index.samples(),
        planned.as_secs_f64() * 1e3,
        begun.elapsed().as_secs_f64() * 1e3,
        (ALLOCATOR.peak_usage() - before) as f64 / 1e6
    );
}
