//! The pictures of one share of a set, embedded.

use super::EvalModel;
use twinspan_data::dataset::EvalSample;
use twinspan_data::index::OnProgress;
use twinspan_data::{EvalError, EvalSet, PassedOver, Share};

/// Pictures that are in memory at once.
const BLOCK: usize = 64;

/// Hands the samples of a share to `each` in the set's order, in blocks of b without their pixels,
/// with their pictures' unit embeddings [b, e]. Gives those that could not be used.
///
/// # Errors
/// When the set cannot be read.
pub(super) async fn embed_share(
    model: &EvalModel,
    set: &EvalSet,
    share: Share,
    on_progress: OnProgress<'_>,
    mut each: impl FnMut(&[EvalSample], &[f32]),
) -> Result<Vec<PassedOver>, EvalError> {
    let embedded = |samples: &[EvalSample], pixels: &[u8]| {
        each(samples, &model.embed_images_evenly(pixels));
    };
    read_share(set, model.image_size(), share, on_progress, embedded).await
}

/// As [`embed_share`], with the pictures' pixels [b, H, W, 3] themselves.
///
/// # Errors
/// When the set cannot be read.
pub(crate) async fn read_share(
    set: &EvalSet,
    image_size: u32,
    share: Share,
    on_progress: OnProgress<'_>,
    mut each: impl FnMut(&[EvalSample], &[u8]),
) -> Result<Vec<PassedOver>, EvalError> {
    let mut reader = set.reader(image_size, share);
    let (mut samples, mut pixels, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let sample = reader.next().await?;
        let ended = sample.is_none();
        match sample {
            Some(Ok(mut sample)) => {
                pixels.append(&mut sample.pixels);
                samples.push(sample);
            }
            Some(Err(one)) => passed_over.push(one),
            None => {}
        }
        if ended || samples.len() == BLOCK {
            each(&samples, &pixels);
            samples.clear();
            pixels.clear();
            let (done, total) = reader.progress();
            on_progress(done, total);
        }
        if ended {
            return Ok(passed_over);
        }
    }
}
