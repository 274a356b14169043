//! The loss of the global batch and this rank's gradients of it: what the loss needs of other ranks
//! is exchanged here.

use crate::Exchange;
use twinspan_collective::CollectiveError;
use twinspan_model::loss::{ContrastiveBatch, LogSumExps, LossGradients, LossTerms};

/// The exact full-batch loss, by what it is summed from: CLIP's softmax loss, or the sigmoid loss (SigLIP) of a model with a
/// logit bias. `exchanged` is called when nothing more is waited for.
pub(crate) fn contrast(
    batch: &ContrastiveBatch<'_>,
    bias: Option<f32>,
    exchange: &mut Exchange,
    exchanged: impl FnOnce(),
) -> Result<(LossTerms, LossGradients), CollectiveError> {
    match bias {
        None => {
            let own = batch.log_sum_exps();
            let all = LogSumExps {
                image: exchange.gather_numbers(own.image)?,
                text: exchange.gather_numbers(own.text)?,
            };
            exchanged();
            Ok((batch.loss_terms(&all), batch.gradients(&all)))
        }
        Some(bias) => {
            let losses = exchange.gather_numbers(batch.sigmoid_losses(bias))?;
            exchanged();
            Ok((LossTerms::mean(losses), batch.sigmoid_gradients(bias)))
        }
    }
}
