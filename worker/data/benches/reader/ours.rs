//! The loader of a worker with one thread that decodes.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use twinspan_data::{Loader, LoaderConfig, Order, Tokenizer};
use twinspan_types::config::AugmentationConfig;
use twinspan_types::{Cursor, Index, LaneId, Step};

const BATCH: u32 = 64;
const LANES: u32 = 4;
const SIDE: u32 = 224;
/// open_clip's mean and standard deviation of red, green and blue, to four digits.
const MEAN: [f32; 3] = [0.4815, 0.4578, 0.4082];
const STD: [f32; 3] = [0.2686, 0.2613, 0.2758];

/// Reads batches with a new loader, its start included.
pub fn samples_per_second(index: &Arc<Index>, batches: usize) -> Result<f64, Box<dyn Error>> {
    let config = LoaderConfig {
        index: Arc::clone(index),
        order: Order {
            seed: 1,
            lanes: LANES,
            shuffle_window: 128,
        },
        lanes: (0..LANES).map(LaneId).collect(),
        lane_group: 1,
        cursors: vec![Cursor::default(); LANES as usize],
        quarantines: Vec::new(),
        cache: None,
        samples_per_lane: BATCH / LANES,
        start: Step(0),
        image_size: SIDE,
        crop_scale_min: 0.9,
        augmentation: AugmentationConfig::default(),
        tokenizer: Arc::new(Tokenizer::new(77, 49408)?),
        decode_threads: 1,
        prefetch_bytes: 256 << 20,
        decode_delay: Duration::ZERO,
        lease: watch::channel(Step(u64::MAX - 1)).1,
    };
    let begun = Instant::now();
    let mut loader = Loader::start(config)?;
    let mut pictures = Vec::new();
    for _ in 0..batches {
        let batch = loader.next_batch(Duration::from_secs(60))?;
        normalize(&batch.pixels, &mut pictures);
        std::hint::black_box(&pictures);
    }
    Ok((batches * BATCH as usize) as f64 / begun.elapsed().as_secs_f64())
}

/// What the towers do to pixels, and the peer's transform ends with.
fn normalize(pixels: &[u8], pictures: &mut Vec<[f32; 3]>) {
    let scale: [f32; 3] = std::array::from_fn(|c| 1.0 / (255.0 * STD[c]));
    let shift: [f32; 3] = std::array::from_fn(|c| -MEAN[c] / STD[c]);
    let (whole, _) = pixels.as_chunks::<3>();
    pictures.clear();
    pictures.extend(whole.iter().map(|rgb| -> [f32; 3] {
        std::array::from_fn(|c| f32::from(rgb[c]) * scale[c] + shift[c])
    }));
}
