//! A supervised classifier: the image tower of a CLIP model, and a linear layer from its features
//! to classes, under the cross-entropy.
//!
//! As in the contrastive loss, the gradient of the tower's outputs is computed here and enters the
//! tower from outside; the linear layer has no graph.

#[cfg(test)]
mod tests;

use burn::tensor::{Device, Tensor, TensorData};

use crate::Gradient;
use crate::config::{ModelConfig, TextConfig};
use crate::flat::to_vec;
use crate::optim::{AdamW, Moments, clip_factor, global_norm};
use crate::params::{Init, move_running};
use crate::towers::{BatchNorm, Clip, ImageForward, PatchDraws, Pulled};

/// Pictures that go through the tower at once outside training.
const MICRO_BATCH: usize = 64;

/// A classifier without its numbers.
#[derive(Clone, Debug)]
pub struct Classifier {
    tower: Clip,
    classes: usize,
}

/// A classifier's numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierState {
    /// The tower's parameters in its table's layout.
    params: Vec<f32>,
    /// The linear layer: weight `[classes, e]`, then bias `[classes]`.
    head: Vec<f32>,
    /// Batch-norm running statistics in the buffer table's layout.
    buffers: Vec<f32>,
    moments: Moments,
    head_moments: Moments,
}

/// What a part of a batch gives to the gradient of the batch's mean loss. Parts are summed.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassifierGradient {
    /// Sum of the losses over the number of pictures in the batch.
    pub loss: f64,
    tower: Vec<f32>,
    head: Vec<f32>,
    /// Sum of the groups' statistics in the buffer table's layout.
    batch_stats: Vec<f32>,
    groups: usize,
}

/// Pictures of a batch, in whole groups.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// Red, green and blue of 0 to 255, `[n, side, side, 3]`.
    pub pixels: &'a [u8],
    /// Their classes, `[n]`.
    pub labels: &'a [usize],
    /// What their patch dropout depends on, `[n]`.
    pub draws: PatchDraws<'a>,
}

/// How a batch is cut for batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Pictures over which batch norm takes its statistics.
    pub group: usize,
    /// Pictures in the whole batch, of which a part may be at hand.
    pub batch: usize,
}

impl Classifier {
    /// A classifier of `classes` classes with the image tower of a model.
    #[must_use]
    pub fn new(config: &ModelConfig, classes: usize) -> Self {
        // The smallest text tower stands in the place of the model's: no text goes through it, so
        // it has no gradient.
        let text = TextConfig {
            context_length: 1,
            vocab_size: 1,
            width: 1,
            heads: 1,
            layers: 0,
            mlp_ratio: 1.0,
        };
        let tower = Clip::new(ModelConfig {
            text,
            ..config.clone()
        });
        Self { tower, classes }
    }

    /// Side of the square pictures that it takes, in pixels.
    #[must_use]
    pub fn image_size(&self) -> u32 {
        self.tower.config.vision.image_size() as u32
    }

    /// Classes that it tells apart.
    #[must_use]
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// First values: the tower's are those that a CLIP model of the same seed begins with, the
    /// linear layer's are PyTorch's.
    #[must_use]
    pub fn initial(&self, seed: u64) -> ClassifierState {
        let params = self.tower.params.init(seed);
        let mut head = vec![0.0; self.classes * (self.width() + 1)];
        Init::fan_in(self.width()).fill(seed, "head", &mut head);
        ClassifierState {
            moments: Moments::zeros(params.len()),
            head_moments: Moments::zeros(head.len()),
            buffers: self.tower.buffers.init(),
            params,
            head,
        }
    }

    /// The part of a batch's gradient that some of its pictures give.
    ///
    /// # Panics
    /// If the lengths do not fit, or a label is no class.
    #[must_use]
    pub fn gradient(
        &self,
        state: &ClassifierState,
        pictures: Labelled<'_>,
        grouping: Grouping,
    ) -> ClassifierGradient {
        let weights = self
            .tower
            .weights(&state.params, &Device::flex().autodiff());
        let mut gradient = ClassifierGradient {
            loss: 0.0,
            tower: vec![0.0; state.params.len()],
            head: vec![0.0; state.head.len()],
            batch_stats: vec![0.0; state.buffers.len()],
            groups: 0,
        };
        let mut outputs = Vec::new();
        for part in pictures.chunks(grouping.group) {
            let Labelled {
                pixels,
                labels,
                draws,
            } = part;
            let ImageForward {
                embeddings: features_ne,
                batch_stats,
                ..
            } = self.tower.image_features(
                &weights,
                pixels,
                labels.len(),
                BatchNorm::Batch,
                Some(draws),
            );
            add(&mut gradient.batch_stats, &batch_stats);
            gradient.groups += 1;
            let features = to_vec(features_ne.clone());
            let upstream = self.head_gradient(state, &features, labels, grouping, &mut gradient);
            outputs.push(Pulled {
                gradient: matrix(upstream, features_ne.dims()),
                embeddings: features_ne,
                tape: None,
            });
        }
        let mut tower = Gradient::Host(std::mem::take(&mut gradient.tower));
        self.tower.backward(&weights, outputs, &[], &mut tower);
        gradient.tower = tower.to_host().into_owned();
        gradient
    }

    /// Adds the loss and the linear layer's gradient of some features `[n, e]`; gives the
    /// features' own.
    fn head_gradient(
        &self,
        state: &ClassifierState,
        features: &[f32],
        labels: &[usize],
        grouping: Grouping,
        gradient: &mut ClassifierGradient,
    ) -> Vec<f32> {
        let mut rows = self.logits_of(state, features);
        for (row, &label) in rows.chunks_mut(self.classes).zip(labels) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
            let log_sum = largest + sum.ln();
            gradient.loss += f64::from(log_sum - row[label]) / grouping.batch as f64;
            for logit in row.iter_mut() {
                *logit = (*logit - log_sum).exp() / grouping.batch as f32;
            }
            row[label] -= 1.0 / grouping.batch as f32;
        }
        let (n, e) = (labels.len(), self.width());
        let (weight, bias) = gradient.head.split_at_mut(self.classes * e);
        for row in rows.chunks(self.classes) {
            add(bias, row);
        }
        let p_nc = matrix(rows, [n, self.classes]);
        let x_ne = matrix(features.to_vec(), [n, e]);
        add(weight, &to_vec(p_nc.clone().transpose().matmul(x_ne)));
        to_vec(p_nc.matmul(self.head_weight(state)))
    }

    /// Updates the numbers from the whole batch's gradient, clipped to `max_norm`.
    ///
    /// Returns whether loss and gradient were finite; if not, nothing is changed.
    pub fn update(
        &self,
        state: &mut ClassifierState,
        gradient: &ClassifierGradient,
        adamw: &AdamW,
        max_norm: Option<f64>,
    ) -> bool {
        let norm = global_norm(&gradient.tower).hypot(global_norm(&gradient.head));
        if !(norm.is_finite() && gradient.loss.is_finite()) {
            return false;
        }
        let clip = clip_factor(norm, max_norm) as f32;
        let table = &self.tower.params;
        let ClassifierState {
            params,
            head,
            buffers,
            moments,
            head_moments:
                Moments {
                    exp_avg,
                    exp_avg_sq,
                },
        } = state;
        let Moments {
            exp_avg: m,
            exp_avg_sq: v,
        } = moments;
        adamw.apply(table, params, &gradient.tower, clip, m, v);
        let weight = self.classes * self.width();
        for (range, decays) in [(0..weight, true), (weight..head.len(), false)] {
            adamw.update(
                &mut head[range.clone()],
                &gradient.head[range.clone()],
                &mut exp_avg[range.clone()],
                &mut exp_avg_sq[range],
                decays,
                clip,
            );
        }
        let groups = gradient.groups.max(1) as f32;
        let mean = gradient.batch_stats.iter().map(|sum| sum / groups);
        move_running(buffers, &mean.collect::<Vec<_>>());
        true
    }

    /// Scores `[n, classes]` of pictures `[n, side, side, 3]`, with the running statistics.
    #[must_use]
    pub fn scores(&self, state: &ClassifierState, pixels: &[u8]) -> Vec<f32> {
        let weights = self.tower.weights(&state.params, &Device::flex());
        let picture = 3 * (self.image_size() as usize).pow(2);
        let groups = pixels.chunks(picture * MICRO_BATCH);
        groups
            .flat_map(|group| {
                let norm = BatchNorm::Running(&state.buffers);
                let pictures = group.len() / picture;
                let forward = self
                    .tower
                    .image_features(&weights, group, pictures, norm, None);
                self.logits_of(state, &to_vec(forward.embeddings))
            })
            .collect()
    }

    /// The linear layer's outputs `[n, classes]` for features `[n, e]`.
    fn logits_of(&self, state: &ClassifierState, features: &[f32]) -> Vec<f32> {
        let e = self.width();
        let bias = state.head[self.classes * e..].to_vec();
        let bias_c = Tensor::<1>::from_data(TensorData::new(bias, [self.classes]), &Device::flex());
        let x_ne = matrix(features.to_vec(), [features.len() / e, e]);
        to_vec(x_ne.matmul(self.head_weight(state).transpose()) + bias_c.unsqueeze())
    }

    fn head_weight(&self, state: &ClassifierState) -> Tensor<2> {
        let (c, e) = (self.classes, self.width());
        matrix(state.head[..c * e].to_vec(), [c, e])
    }

    fn width(&self) -> usize {
        self.tower.config.embed_dim
    }
}

impl<'a> Labelled<'a> {
    /// In parts of so many pictures, the last of which may have fewer.
    pub fn chunks(self, pictures: usize) -> impl Iterator<Item = Self> + use<'a> {
        let bytes = self.pixels.len() / self.labels.len().max(1);
        let pixels = self.pixels.chunks((bytes * pictures).max(1));
        let draws = self.draws.pictures.chunks(pictures);
        let parts = self.labels.chunks(pictures).zip(pixels).zip(draws);
        let seed = self.draws.seed;
        parts.map(move |((labels, pixels), pictures)| Self {
            pixels,
            labels,
            draws: PatchDraws { seed, pictures },
        })
    }
}

impl ClassifierGradient {
    /// Adds another part of the same batch.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.groups += other.groups;
        add(&mut self.tower, &other.tower);
        add(&mut self.head, &other.head);
        add(&mut self.batch_stats, &other.batch_stats);
    }
}

fn add(sums: &mut [f32], values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value;
    }
}

fn matrix(values: Vec<f32>, shape: [usize; 2]) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}
