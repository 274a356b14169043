//! One step's loss and gradients of the whole model.

use std::ops::Range;

use super::config::{ModelConfig, VisionConfig};
use super::loss::{contrastive_loss, normalise, normalise_backward};
use super::params::Params;
use super::resnet::{self, GroupStats, ResNetTrace};
use super::shapes::param_shapes;
use super::tensor::Tensor;
use super::text::{self, TextTrace};
use super::vit::{self, VitTrace};

/// What one step gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// The contrastive loss of the global batch, in nats.
    pub loss: f64,
    /// Gradient of every parameter; that of `logit_scale` is of the logarithm.
    pub gradients: Params,
    /// For each of `bn_groups` what the batch norms saw; empty for a ViT.
    pub batch_stats: Vec<GroupStats>,
}

/// Loss and gradients of one global batch.
///
/// `pixels` are N normalised pictures `[N, 3, H, W]`, `tokens` N texts of any
/// length up to the context length, each worked in full. `bn_groups` cut the N
/// samples into consecutive groups, each with its own batch-norm statistics; a
/// ViT does not look at them.
///
/// # Panics
/// If names, shapes or lengths do not fit together.
#[must_use]
pub fn loss_and_gradients(
    config: &ModelConfig,
    params: &Params,
    pixels: &[f64],
    tokens: &[Vec<u32>],
    bn_groups: &[Range<usize>],
) -> Output {
    let trace = forward(config, params, pixels, tokens, bn_groups);
    let s = params.get("logit_scale").data[0].exp();
    let (u, v) = trace.embeddings(config.embed_dim);
    let step = contrastive_loss(&normalise(&u), &normalise(&v), s);

    let mut grads = params.zeros_like();
    grads.get_mut("logit_scale").data[0] = step.ds * s;
    let du = normalise_backward(&u, &step.dx);
    match &trace.images {
        ImageTrace::Vit(tower) => vit::backward(config, params, &mut grads, tower, &du),
        ImageTrace::ResNet(groups) => {
            for (group, tower) in bn_groups.iter().zip(groups) {
                let own = samples(&du, group.clone());
                resnet::backward(config, params, &mut grads, tower, &own);
            }
        }
    }
    let dv = normalise_backward(&v, &step.dy);
    for (i, tower) in trace.texts.iter().enumerate() {
        text::backward(config, params, &mut grads, tower, &samples(&dv, i..i + 1));
    }
    let batch_stats = match trace.images {
        ImageTrace::Vit(_) => Vec::new(),
        ImageTrace::ResNet(groups) => groups.into_iter().map(|group| group.stats).collect(),
    };
    Output {
        loss: step.loss,
        gradients: grads,
        batch_stats,
    }
}

enum ImageTrace {
    Vit(Box<VitTrace>),
    /// One for each batch-norm group.
    ResNet(Vec<ResNetTrace>),
}

struct Trace {
    images: ImageTrace,
    texts: Vec<TextTrace>,
}

impl Trace {
    /// Image and text rows before the L2 norm, `[N, e]` each.
    fn embeddings(&self, width: usize) -> (Tensor, Tensor) {
        let images = match &self.images {
            ImageTrace::Vit(tower) => tower.embedding.clone(),
            ImageTrace::ResNet(groups) => stack(width, groups.iter().map(|group| &group.embedding)),
        };
        (
            images,
            stack(width, self.texts.iter().map(|text| &text.embedding)),
        )
    }
}

fn forward(
    config: &ModelConfig,
    params: &Params,
    pixels: &[f64],
    tokens: &[Vec<u32>],
    bn_groups: &[Range<usize>],
) -> Trace {
    check_params(config, params);
    let side = config.image_size;
    let pixels = Tensor::new(&[tokens.len(), 3, side, side], pixels.to_vec());
    let images = match config.vision {
        VisionConfig::Vit { .. } => ImageTrace::Vit(Box::new(vit::forward(config, params, pixels))),
        VisionConfig::ResNet { .. } => {
            check_groups(bn_groups, tokens.len());
            let tower = |group: &Range<usize>| {
                resnet::forward(config, params, samples(&pixels, group.clone()))
            };
            ImageTrace::ResNet(bn_groups.iter().map(tower).collect())
        }
    };
    let texts = tokens
        .iter()
        .map(|text| text::forward(config, params, text))
        .collect();
    Trace { images, texts }
}

fn check_params(config: &ModelConfig, params: &Params) {
    let expected = param_shapes(config);
    for (name, shape) in &expected {
        assert_eq!(&params.get(name).shape, shape, "shape of {name}");
    }
    for (name, _) in params.iter() {
        assert!(expected.contains_key(name), "{name} is no parameter here");
    }
}

fn check_groups(groups: &[Range<usize>], samples: usize) {
    let mut next = 0;
    for group in groups {
        assert_eq!(group.start, next, "groups follow one another");
        next = group.end;
    }
    assert_eq!(next, samples, "groups hold all samples");
}

/// Samples `range` of x `[N, ..]`.
fn samples(x: &Tensor, range: Range<usize>) -> Tensor {
    let each: usize = x.shape[1..].iter().product();
    let mut shape = x.shape.clone();
    shape[0] = range.len();
    Tensor::new(
        &shape,
        x.data[range.start * each..range.end * each].to_vec(),
    )
}

/// Tensors `[.., w]` below each other.
fn stack<'a>(width: usize, parts: impl Iterator<Item = &'a Tensor>) -> Tensor {
    let data: Vec<f64> = parts.flat_map(|part| &part.data).copied().collect();
    Tensor::new(&[data.len() / width, width], data)
}

#[cfg(test)]
mod tests;
