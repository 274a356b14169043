//! The loss of the global batch and this rank's gradients of it: what the loss needs of other ranks
//! is exchanged here.

use crate::Exchange;
use twinspan_collective::CollectiveError;
use twinspan_model::loss::{ContrastiveBatch, LogSumExps, LossGradients};

/// The exact full-batch loss: CLIP's softmax loss, or the sigmoid loss (SigLIP) of a model with a
/// logit bias. `exchanged` is called when nothing more is waited for.
pub(crate) fn contrast(
    batch: &ContrastiveBatch<'_>,
    bias: Option<f32>,
    exchange: &mut Exchange,
    exchanged: impl FnOnce(),
) -> Result<(f64, LossGradients), CollectiveError> {
    match bias {
        None => {
            let own = batch.log_sum_exps();
            let all = LogSumExps {
                image: exchange.gather_rows(&own.image, 1)?,
                text: exchange.gather_rows(&own.text, 1)?,
            };
            exchanged();
            Ok((batch.loss(&all), batch.gradients(&all)))
        }
        Some(bias) => {
            let losses = exchange.gather_rows(&batch.sigmoid_losses(bias), 1)?;
            exchanged();
            let sum: f64 = losses.iter().map(|loss| f64::from(*loss)).sum();
            let loss = sum / exchange.global_batch() as f64;
            Ok((loss, batch.sigmoid_gradients(bias)))
        }
    }
}
