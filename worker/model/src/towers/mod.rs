//! Both towers as plain functions over tensors made from the flat parameter buffer.
//!
//! Names carry shapes: b samples, t tokens, w width, e embedding width, c channels, h and d heads
//! and their width. A run of letters is one dimension each (`x_btw`); rows are flattened samples
//! times positions.

mod patch_dropout;
mod pixels;
mod recompute;
mod resnet;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod text;
mod transformer;
mod vit;
mod weights;

pub use patch_dropout::PatchDraws;
pub use recompute::Tape;
use recompute::along;
pub use text::TextForward;
pub use transformer::rows;
use weights::Source;
pub use weights::Weights;

use burn::tensor::{DType, Device, Tensor};
use twinspan_types::Fault;
use twinspan_types::config::ModelSection;

use crate::config::{ModelConfig, VisionConfig};
use crate::params::{BufferTable, ParamTable, Tower};
use crate::{Compute, Flat, Gradient, ops};

/// Epsilon of every layer norm and batch norm.
const EPSILON: f32 = 1e-5;

/// A CLIP model without its numbers: the config and the layout of its buffers.
#[derive(Clone, Debug)]
pub struct Clip {
    /// The model in numbers.
    pub config: ModelConfig,
    /// The layout of parameters, gradients and moments.
    pub params: ParamTable,
    /// The layout of the batch norms' running statistics.
    pub buffers: BufferTable,
    /// Whether training uses the running statistics and leaves them as they are.
    pub frozen_norms: bool,
}

/// Which statistics the batch norms of a ModifiedResNet use; a ViT has none and ignores it.
#[derive(Clone, Copy, Debug)]
pub enum BatchNorm<'a> {
    /// Those of this call's pictures, in training: one call for each fixed group of lanes.
    Batch,
    /// Running ones in the layout of [`BufferTable`], in evaluation.
    Running(&'a [f32]),
}

/// What the image tower makes of some pictures.
pub struct ImageForward {
    /// Unit rows `[b, e]`.
    pub embeddings: Tensor<2>,
    /// What the backward pass needs of the blocks, where it computes them again.
    pub tape: Option<Tape>,
    /// Means and unbiased variances of this call in the layout of [`BufferTable`]; empty for a
    /// ViT and with running statistics.
    pub batch_stats: Vec<f32>,
}

impl Clip {
    /// Lays out a model.
    #[must_use]
    pub fn new(config: ModelConfig) -> Self {
        Self {
            params: ParamTable::new(&config),
            buffers: BufferTable::new(&config),
            frozen_norms: false,
            config,
        }
    }

    /// Leaves what a run file locks as it is.
    ///
    /// # Errors
    /// What cannot be locked so.
    pub fn lock(mut self, model: &ModelSection) -> Result<Self, Fault> {
        let (image, text) = (model.lock_image.as_ref(), model.lock_text.as_ref());
        self.params.lock(&self.config, image, text)?;
        self.frozen_norms = image.is_some_and(|lock| lock.freeze_bn_stats);
        Ok(self)
    }

    /// Tensors of all parameters but the token embedding and the logit scale, copied from `flat`
    /// (layout of [`ParamTable`]) to `device`; tracked when it is an autodiff device, but for those
    /// that are locked.
    ///
    /// # Panics
    /// If `flat` has another length than the table.
    #[must_use]
    pub fn weights<'a>(&'a self, flat: &'a [f32], device: &Device) -> Weights<'a> {
        Weights::new(&self.params, Source::Host(flat), device, DType::F32, None)
    }

    /// As [`Self::weights`], tracked, where and in what `compute` says.
    ///
    /// # Panics
    /// If the numbers are another table's.
    #[must_use]
    pub fn step_weights<'a>(&'a self, flat: &'a Flat, compute: &Compute) -> Weights<'a> {
        Weights::of_step(&self.params, flat, compute)
    }

    /// As [`Self::weights`], of one tower alone: enough to embed with it, in less memory.
    ///
    /// # Panics
    /// As [`Self::weights`].
    #[must_use]
    pub fn tower_weights<'a>(
        &'a self,
        tower: Tower,
        flat: &'a [f32],
        device: &Device,
    ) -> Weights<'a> {
        Weights::new(
            &self.params,
            Source::Host(flat),
            device,
            DType::F32,
            Some(tower),
        )
    }

    /// Embeds pictures: `pixels` is `[batch, side, side, 3]`, red, green and blue of 0 to 255. With
    /// `draws`, in training, a ViT with patch dropout sees a part of each picture.
    ///
    /// # Panics
    /// If `pixels`, the draws or the running statistics have another length.
    #[must_use]
    pub fn embed_images(
        &self,
        w: &Weights<'_>,
        pixels: &[u8],
        batch: usize,
        norm: BatchNorm<'_>,
        draws: Option<PatchDraws<'_>>,
    ) -> ImageForward {
        let features = self.image_features(w, pixels, batch, norm, draws);
        ImageForward {
            embeddings: ops::l2_normalize(features.embeddings),
            ..features
        }
    }

    /// As [`Clip::embed_images`], but with rows that are not yet of unit length.
    pub(crate) fn image_features(
        &self,
        w: &Weights<'_>,
        pixels: &[u8],
        batch: usize,
        norm: BatchNorm<'_>,
        draws: Option<PatchDraws<'_>>,
    ) -> ImageForward {
        let side = self.config.vision.image_size();
        assert_eq!(
            pixels.len(),
            batch * side * side * 3,
            "bytes of {batch} pictures of side {side}"
        );
        let x_bhwc = pixels::normalized(pixels, batch, side, w.device());
        let visual = w.scope("visual");
        match self.config.vision {
            VisionConfig::ViT { .. } => {
                let (embeddings, tape) = vit::forward(&self.config, &visual, x_bhwc, draws);
                ImageForward {
                    embeddings,
                    tape,
                    batch_stats: Vec::new(),
                }
            }
            VisionConfig::ResNet { .. } => {
                let norms = resnet::Norms::new(&self.buffers, norm);
                let (embeddings, batch_stats) =
                    resnet::forward(&self.config, &visual, x_bhwc, norms);
                ImageForward {
                    embeddings,
                    tape: None,
                    batch_stats,
                }
            }
        }
    }

    /// Embeds texts: `ids` is `[b, length]`, each row a whole text, padded or cut after its end
    /// token. What stands behind the end token changes nothing, so `length` may be that of the
    /// longest text.
    ///
    /// # Panics
    /// If `length` exceeds the context or does not divide `ids`, or an id exceeds the vocabulary.
    #[must_use]
    pub fn embed_texts(&self, w: &Weights<'_>, ids: &[u32], length: usize) -> TextForward {
        text::forward(&self.config, w, ids, length)
    }

    /// Goes backward from some embeddings and adds the gradients of all parameters to `out`; `texts`
    /// are the text forwards among them, for the token embedding.
    ///
    /// # Panics
    /// If a gradient's shape or `out`'s table is wrong, or the weights are not tracked.
    pub fn backward(
        &self,
        w: &Weights<'_>,
        outputs: Vec<Pulled>,
        texts: &[TextForward],
        out: &mut Gradient,
    ) {
        let products = outputs
            .iter()
            .map(|output| along(output.embeddings.clone(), output.gradient.clone()));
        let Some(total) = products.reduce(|left, right| left + right) else {
            return;
        };
        let mut grads = total.backward();
        drop(total);
        w.accumulate(&mut grads, texts, out);
        for tape in outputs.into_iter().filter_map(|output| output.tape) {
            tape.backward(w, &mut grads, |grads| w.accumulate(grads, texts, out));
        }
    }
}

/// What the backward pass of a tower begins with.
pub struct Pulled {
    /// What a tower gave, `[b, e]`.
    pub embeddings: Tensor<2>,
    /// The loss's gradient with respect to it, `[b, e]`, off any graph.
    pub gradient: Tensor<2>,
    /// What the tower has kept of its blocks, where they are computed again.
    pub tape: Option<Tape>,
}
