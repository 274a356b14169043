//! The loss of the global batch and this rank's gradients of it: what the loss needs of other ranks
//! is exchanged here.

use crate::Exchange;
use crate::clock::Clock;
use twinspan_collective::CollectiveError;
use twinspan_model::loss::{ContrastiveBatch, LogSumExps, LossGradients, LossTerms};
use twinspan_types::SpanName;

/// The exact full-batch loss, by what it is summed from: CLIP's softmax loss, or the sigmoid loss (SigLIP) of a model with a
/// logit bias.
pub(crate) fn contrast(
    batch: &ContrastiveBatch<'_>,
    bias: Option<f32>,
    exchange: &mut Exchange,
    clock: &mut Clock<'_>,
) -> Result<(LossTerms, LossGradients), CollectiveError> {
    match bias {
        None => {
            let own = batch.log_sum_exps();
            clock.enter(SpanName::AllGather);
            let all = LogSumExps {
                image: exchange.gather_numbers(own.image)?,
                text: exchange.gather_numbers(own.text)?,
            };
            clock.enter(SpanName::Loss);
            Ok((batch.loss_terms(&all), batch.gradients(&all)))
        }
        Some(bias) => {
            let own = batch.sigmoid_losses(bias);
            clock.enter(SpanName::AllGather);
            let losses = exchange.gather_numbers(own)?;
            clock.enter(SpanName::Loss);
            Ok((LossTerms::mean(losses), batch.sigmoid_gradients(bias)))
        }
    }
}
