//! The memory of the loss grows with the tile, not with the square of the batch: a counting
//! allocator sees every byte. The only test of its binary, so that nothing else allocates.

use peak_alloc::PeakAlloc;
use twinspan_model::loss::{ContrastiveBatch, Duplicates, LogSumExps};
use twinspan_model::{Device, Tensor, TensorData};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const N: usize = 4096;
const E: usize = 512;
const TILE: usize = 512;
/// Bytes of one tile of logits.
const TILE_BYTES: usize = TILE * TILE * 4;

/// Unit rows [N, e], another set for each seed.
fn unit_rows(seed: u32) -> Tensor<2> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let mut rows: Vec<f32> = (0..N * E).map(|_| next()).collect();
    for row in rows.chunks_mut(E) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
    Tensor::from_data(TensorData::new(rows, [N, E]), &Device::flex())
}

/// What `work` returns, and the most bytes that were allocated during it beyond those before it.
fn peak_of<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage() - before)
}

#[test]
fn a_loss_of_4096_rows_needs_less_than_8_tiles_beside_its_results() {
    let ids: Vec<u64> = (0..N as u64).collect();
    let duplicates = Duplicates::find(&ids);
    let batch = ContrastiveBatch {
        x_ne: unit_rows(1),
        y_ne: unit_rows(2),
        own: 0..N,
        scale: 14.3,
        tile: TILE,
        duplicates: &duplicates,
    };
    let (all, forward): (LogSumExps, usize) = peak_of(|| batch.log_sum_exps());
    let (terms, sum) = peak_of(|| batch.loss_terms(&all));
    let numbers: Vec<f32> = terms.terms.clone().into_data().try_into_vec().expect("f32");
    let loss = terms.loss(&numbers);
    let (gradients, backward) = peak_of(|| batch.gradients(&all));
    let results = 4 * [&gradients.image, &gradients.text]
        .map(|side| side.shape().num_elements())
        .iter()
        .sum::<usize>();
    let tiles = |bytes: usize| bytes as f64 / TILE_BYTES as f64;
    eprintln!(
        "in tiles of {TILE} x {TILE}: forward {:.1}, loss {:.1}, backward {:.1} beside its results",
        tiles(forward),
        tiles(sum),
        tiles(backward - results)
    );
    assert!(loss.is_finite());
    assert!(forward < 8 * TILE_BYTES);
    assert!(sum < 8 * TILE_BYTES);
    assert!(backward - results < 8 * TILE_BYTES);
    assert!(forward > TILE_BYTES, "the counter counts");
}
