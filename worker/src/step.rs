//! One optimiser update over one global batch, in the order in which the design tells it.

use crate::clock::Clock;
use crate::contrast::contrast;
use crate::grouping::group_by_length;
use crate::{Exchange, TrainState, WorkerError};
use std::time::Duration;
use twinspan_model::loss::{ContrastiveBatch, Duplicates, LossGradients};
use twinspan_model::ops::allow_tf32;
use twinspan_model::optim::{AdamW, LOGIT_SCALE_MAX, Optimizer, clip_factor, learning_rate};
use twinspan_model::params::{Tower, move_running};
use twinspan_model::towers::{
    BatchNorm, Clip, ImageForward, PatchDraws, Pulled, TextForward, Weights, rows,
};
use twinspan_model::{Compute, Gradient, Tensor};
use twinspan_session::{Tally, Vote};
use twinspan_types::{Cursor, Directive, RunConfig, Skip, SpanName, StreamId};

/// One rank's part of a global batch, decoded.
pub struct LocalSamples {
    /// Pictures, u8 [rows, H, W, 3], lane group by lane group.
    pub pixels: Vec<u8>,
    /// Token ids of each caption, from start to end of text, unpadded.
    pub captions: Vec<Vec<u32>>,
    /// A number for each sample, equal for equal samples.
    pub ids: Vec<u64>,
    /// A number for each sample in each epoch, which its draws depend on.
    pub draws: Vec<u64>,
    /// Where the rank's lanes stand after the batch.
    pub ends: Vec<(StreamId, Cursor)>,
    /// Sum of the hashes of the samples' keys.
    pub key_hash: u64,
    /// Samples that were passed over.
    pub skips: Vec<Skip>,
}

/// What a step gave.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The full-batch contrastive loss before the update.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
    /// The learning rate.
    pub lr: f64,
    /// exp of the learned temperature after the update.
    pub logit_scale: f64,
    /// Whether all ranks' numbers are finite; weights change only then.
    pub finite: bool,
    /// What all ranks concluded.
    pub tally: Tally,
}

/// What is asked of a step.
#[derive(Debug, Clone)]
pub struct StepOrder {
    /// The highest directive that the rank has seen.
    pub directive: Directive,
    /// Hash of the state, where ranks compare theirs.
    pub state_hash: Option<u64>,
    /// Whether it may change weights: a step that once led to numbers that are not finite may not.
    pub changes_weights: bool,
    /// What becomes of it if its numbers are not finite.
    pub on_not_finite: NotFinite,
    /// What the rank says of the evaluation that is under way; empty for nothing.
    pub evaluation: Vec<u8>,
    /// The time since its start beyond which it is slow; none where that is not known.
    pub slow_after: Option<Duration>,
}

/// What becomes of a step whose numbers are not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotFinite {
    /// It is not committed, and can be taken again.
    Retry,
    /// It is committed and changes no weight.
    Skip,
}

/// How a step ended.
#[derive(Debug, Clone)]
pub enum StepResult {
    /// It is part of the state.
    Committed(Box<StepOutcome>),
    /// Nothing has changed.
    NotFinite,
}

/// What does not change from step to step.
pub struct Stepper<'r> {
    clip: &'r Clip,
    config: &'r RunConfig,
    compute: Compute,
    optimizer: Optimizer,
    gradient: Gradient,
}

impl<'r> Stepper<'r> {
    /// A stepper for one run's model.
    #[must_use]
    pub fn new(clip: &'r Clip, config: &'r RunConfig, compute: &Compute) -> Self {
        allow_tf32(compute.tf32);
        Self {
            clip,
            config,
            compute: compute.clone(),
            optimizer: Optimizer::new(&clip.params, compute),
            gradient: Gradient::zeros(&clip.params, compute),
        }
    }

    /// The all-reduced gradient of the last step.
    #[must_use]
    pub fn gradient(&self) -> &Gradient {
        &self.gradient
    }

    /// Takes one step: towers, all-gather, exact loss, backward, all-reduce, vote, commit.
    ///
    /// # Errors
    /// A collective or the vote fails, or ranks' states differ; the state is then the one before
    /// the step.
    pub fn step(
        &mut self,
        state: &mut TrainState,
        batch: &LocalSamples,
        order: StepOrder,
        exchange: &mut Exchange,
        clock: &mut Clock<'_>,
    ) -> Result<StepResult, WorkerError> {
        clock.enter(SpanName::ImageForward);
        state.place(self.clip, &self.compute);
        let weights = self.clip.step_weights(&state.params, &self.compute);
        let images = self.embed_images(&weights, batch, &state.buffers);
        clock.enter(SpanName::TextForward);
        let texts = self.embed_texts(&weights, batch);
        let of_images = images.iter().map(|image| image.embeddings.clone().inner());
        let x_re = Tensor::cat(of_images.collect(), 0);
        let y_re = texts.in_batch_order();

        clock.enter(SpanName::AllGather);
        let x_ne = exchange.gather_rows(x_re)?;
        let y_ne = exchange.gather_rows(y_re)?;
        let duplicates = Duplicates::find(&exchange.gather_ids(&batch.ids)?);
        let logit_scale = self.clip.params.logit_scale();
        let contrastive = ContrastiveBatch {
            x_ne,
            y_ne,
            own: exchange.own_rows(),
            scale: state.params.shared(logit_scale).exp(),
            tile: self.config.train.loss_tile as usize,
            duplicates: &duplicates,
        };
        let logit_bias = self.clip.params.logit_bias();
        let bias = logit_bias.map(|place| state.params.shared(place));
        clock.enter(SpanName::Loss);
        let (terms, gradients) = contrast(&contrastive, bias, exchange, clock)?;

        clock.enter(SpanName::Backward);
        self.gradient.clear();
        self.gradient
            .set_shared(logit_scale, &gradients.logit_scale);
        if let (Some(place), Some(bias)) = (logit_bias, &gradients.logit_bias) {
            self.gradient.set_shared(place, bias);
        }
        let mut batch_stats = self.mean_batch_stats(&images, exchange.global_batch());
        self.backward(&weights, images, texts, &gradients);
        drop(weights);

        clock.enter(SpanName::AllReduce);
        let (table, captions) = (&self.clip.params, &batch.captions);
        exchange.sum_gradient(&mut self.gradient, &mut batch_stats, table, captions)?;
        let (numbers, grad_norm) = self.gradient.measure(terms.terms.clone());
        exchange.check()?;
        let loss = terms.loss(&numbers);
        let vote = Vote {
            finite: loss.is_finite() && grad_norm.is_finite(),
            directive: order.directive,
            ends: batch.ends.clone(),
            sample_hash: batch.key_hash,
            skips: batch.skips.clone(),
            state_hash: order.state_hash,
            evaluation: order.evaluation,
            slow: order.slow_after.is_some_and(|most| clock.elapsed() > most),
        };
        let tally = Tally::count(&exchange.vote(&vote)??, self.config.streams())?;
        if !tally.diverged.is_empty() {
            return Err(WorkerError::Diverged {
                step: state.step,
                ranks: tally.diverged,
            });
        }
        if !tally.finite && order.on_not_finite == NotFinite::Retry && order.changes_weights {
            return Ok(StepResult::NotFinite);
        }

        clock.enter(SpanName::Optimizer);
        let lr = learning_rate(&self.config.optimizer, state.step, self.config.train.steps);
        if tally.finite && order.changes_weights {
            self.update(state, lr, grad_norm, &batch_stats);
        }
        state.cursors.clone_from(&tally.cursors);
        state.step = state.step.next();
        let outcome = StepOutcome {
            loss,
            grad_norm,
            lr,
            logit_scale: f64::from(state.params.shared(logit_scale).exp()),
            // What is passed over anyway is not counted against the run once more.
            finite: tally.finite || !order.changes_weights,
            tally,
        };
        Ok(StepResult::Committed(Box::new(outcome)))
    }

    /// The pictures through the image tower: one call a lane group where batch norm needs it, else
    /// one for all.
    fn embed_images(
        &self,
        weights: &Weights<'_>,
        batch: &LocalSamples,
        running: &[f32],
    ) -> Vec<ImageForward> {
        let norm = match self.clip.frozen_norms {
            true => BatchNorm::Running(running),
            false => BatchNorm::Batch,
        };
        let rows = batch.captions.len();
        let pixels = batch.pixels.len() / rows.max(1);
        let at_once = match self.clip.buffers.total() == 0 {
            true => rows.max(1),
            false => self.config.samples_per_group() as usize,
        };
        let groups = batch.pixels.chunks(at_once * pixels.max(1));
        let groups = groups.zip(batch.draws.chunks(at_once));
        groups
            .map(|(group, pictures)| {
                let draws = PatchDraws {
                    seed: self.config.seed,
                    pictures,
                };
                let count = pictures.len();
                self.clip
                    .embed_images(weights, group, count, norm, Some(draws))
            })
            .collect()
    }

    fn embed_texts(&self, weights: &Weights<'_>, batch: &LocalSamples) -> Texts {
        let context = self.clip.config.text.context_length;
        let groups = self.config.train.text_groups as usize;
        let groups = group_by_length(&batch.captions, groups, context);
        let (rows, forwards) = groups
            .into_iter()
            .map(|group| {
                let forward = self.clip.embed_texts(weights, &group.ids, group.length);
                (group.rows, forward)
            })
            .unzip();
        Texts { rows, forwards }
    }

    /// This rank's part of the mean over all lane groups of the batch's statistics.
    fn mean_batch_stats(&self, images: &[ImageForward], global_batch: usize) -> Vec<f32> {
        let mut mean = vec![0.0; self.clip.buffers.total()];
        let groups = global_batch / self.config.samples_per_group() as usize;
        for image in images {
            for (mean, stat) in mean.iter_mut().zip(&image.batch_stats) {
                *mean += stat / groups as f32;
            }
        }
        mean
    }

    /// Gradients of the embeddings enter the towers from outside: every output's rows, times their
    /// gradient, summed. A tower that is locked whole has no graph and takes none.
    fn backward(
        &mut self,
        weights: &Weights<'_>,
        images: Vec<ImageForward>,
        texts: Texts,
        gradients: &LossGradients,
    ) {
        let mut outputs = Vec::with_capacity(images.len() + texts.forwards.len());
        let mut first = 0;
        let trains = |tower| self.clip.params.is_trained(tower);
        let images = images.into_iter().filter(|_| trains(Tower::Image));
        for image in images {
            let [count, _] = image.embeddings.dims();
            outputs.push(Pulled {
                embeddings: image.embeddings,
                gradient: gradients.image.clone().slice(first..first + count),
                tape: image.tape,
            });
            first += count;
        }
        let groups = texts.rows.iter().zip(&texts.forwards);
        for (numbers, forward) in groups.filter(|_| trains(Tower::Text)) {
            outputs.push(Pulled {
                embeddings: forward.embeddings.clone(),
                gradient: rows(gradients.text.clone(), numbers.iter().copied()),
                tape: forward.tape.clone(),
            });
        }
        self.clip
            .backward(weights, outputs, &texts.forwards, &mut self.gradient);
    }

    /// The update of a commit, which nothing interrupts.
    fn update(&self, state: &mut TrainState, lr: f64, grad_norm: f64, batch_stats: &[f32]) {
        let clip = clip_factor(grad_norm, self.config.optimizer.grad_clip_norm);
        let adamw = AdamW::new(&self.config.optimizer, state.step, lr);
        let TrainState {
            params,
            moments,
            buffers,
            ..
        } = state;
        let (table, clip) = (&self.clip.params, clip as f32);
        self.optimizer
            .update(&adamw, table, params, &self.gradient, clip, moments);
        params.clamp_shared(table.logit_scale(), 0.0, LOGIT_SCALE_MAX);
        if !self.clip.frozen_norms {
            move_running(buffers, batch_stats);
        }
    }
}

/// The text tower's outputs, group by group.
struct Texts {
    rows: Vec<Vec<usize>>,
    forwards: Vec<TextForward>,
}

impl Texts {
    /// All embeddings as one [rows, e] matrix in the order of the batch, off the graph.
    fn in_batch_order(&self) -> Tensor<2> {
        let groups = self.forwards.iter().map(|f| f.embeddings.clone().inner());
        let by_group = Tensor::cat(groups.collect(), 0);
        let mut places: Vec<(usize, usize)> =
            self.rows.iter().flatten().copied().enumerate().collect();
        places.sort_unstable_by_key(|&(_, row)| row);
        rows(by_group, places.into_iter().map(|(place, _)| place))
    }
}
