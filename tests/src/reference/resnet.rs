//! The ModifiedResNet image tower on one batch-norm group: a stem of three
//! convolutions, four stages of bottleneck blocks with anti-aliased strides, and
//! attention pooling.

use std::collections::BTreeMap;

use super::attention_pool::{self, PoolTrace};
use super::config::{BottleneckPlan, ModelConfig, VisionConfig, bottlenecks, pool_heads};
use super::layers::named::{add_norm, weight_and_bias};
use super::layers::{
    BatchStats, avg_pool, avg_pool_backward, batch_norm, batch_norm_backward, conv2d,
    conv2d_backward, relu, relu_backward,
};
use super::params::Params;
use super::tensor::Tensor;

/// What each batch norm saw in one group, by its name such as `visual.layer1.0.bn2`.
pub type GroupStats = BTreeMap<String, BatchStats>;

/// What the backward of the tower needs.
pub struct ResNetTrace {
    stem: [ConvNorm; 3],
    blocks: Vec<Bottleneck>,
    pool: PoolTrace,
    /// What the batch norms saw.
    pub stats: GroupStats,
    /// Before the L2 norm, `[n, e]`.
    pub embedding: Tensor,
}

/// A convolution with its batch norm; `y` is not yet through a ReLU.
struct ConvNorm {
    names: ConvNormNames,
    x: Tensor,
    convolved: Tensor,
    y: Tensor,
}

#[derive(Clone)]
struct ConvNormNames {
    conv: String,
    norm: String,
    stride: usize,
    pad: usize,
}

struct Bottleneck {
    plan: BottleneckPlan,
    x: Tensor,
    convs: [ConvNorm; 3],
    shortcut: Option<ConvNorm>,
    /// Before the last ReLU.
    sum: Tensor,
}

fn stem_names() -> [ConvNormNames; 3] {
    [1, 2, 3].map(|i| ConvNormNames {
        conv: format!("visual.conv{i}.weight"),
        norm: format!("visual.bn{i}"),
        stride: if i == 1 { 2 } else { 1 },
        pad: 1,
    })
}

/// Convolution `i` of a block: 1x1, 3x3, 1x1.
fn inner_names(prefix: &str, i: usize) -> ConvNormNames {
    ConvNormNames {
        conv: format!("{prefix}.conv{i}.weight"),
        norm: format!("{prefix}.bn{i}"),
        stride: 1,
        pad: usize::from(i == 2),
    }
}

fn shortcut_names(prefix: &str) -> ConvNormNames {
    ConvNormNames {
        conv: format!("{prefix}.downsample.0.weight"),
        norm: format!("{prefix}.downsample.1"),
        stride: 1,
        pad: 0,
    }
}

/// The parts of the forward pass that need the parameters and collect statistics.
struct Forward<'a> {
    params: &'a Params,
    stats: GroupStats,
}

impl Forward<'_> {
    fn conv_norm(&mut self, names: ConvNormNames, x: Tensor) -> ConvNorm {
        let weight = self.params.get(&names.conv);
        let convolved = conv2d(&x, weight, names.stride, names.pad);
        let (weight, bias) = weight_and_bias(self.params, &format!("{}.", names.norm));
        let (y, stats) = batch_norm(&convolved, weight, bias);
        self.stats.insert(names.norm.clone(), stats);
        ConvNorm {
            names,
            x,
            convolved,
            y,
        }
    }

    fn bottleneck(&mut self, plan: BottleneckPlan, x: Tensor) -> Bottleneck {
        let prefix = &plan.prefix;
        let first = self.conv_norm(inner_names(prefix, 1), x.clone());
        let second = self.conv_norm(inner_names(prefix, 2), relu(&first.y));
        let pooled = avg_pool(&relu(&second.y), plan.stride);
        let third = self.conv_norm(inner_names(prefix, 3), pooled);
        let shortcut = plan
            .has_downsample()
            .then(|| self.conv_norm(shortcut_names(prefix), avg_pool(&x, plan.stride)));
        let sum = third.y.plus(shortcut.as_ref().map_or(&x, |s| &s.y));
        Bottleneck {
            plan,
            x,
            convs: [first, second, third],
            shortcut,
            sum,
        }
    }
}

fn sizes(config: &ModelConfig) -> (Vec<BottleneckPlan>, usize) {
    let VisionConfig::ResNet {
        layers,
        width,
        head_width,
    } = config.vision
    else {
        panic!("the image tower of this model is no ModifiedResNet");
    };
    (bottlenecks(layers, width), pool_heads(width, head_width))
}

/// The tower on the pixels of one group, `[n, 3, h, w]`.
#[must_use]
pub fn forward(config: &ModelConfig, params: &Params, pixels: Tensor) -> ResNetTrace {
    let (plans, heads) = sizes(config);
    let mut pass = Forward {
        params,
        stats: GroupStats::new(),
    };
    let [one, two, three] = stem_names();
    let one = pass.conv_norm(one, pixels);
    let two = pass.conv_norm(two, relu(&one.y));
    let three = pass.conv_norm(three, relu(&two.y));
    let mut x = avg_pool(&relu(&three.y), 2);
    let mut blocks = Vec::new();
    for plan in plans {
        let block = pass.bottleneck(plan, x);
        x = relu(&block.sum);
        blocks.push(block);
    }
    let (embedding, pool) = attention_pool::forward(params, heads, &x);
    ResNetTrace {
        stem: [one, two, three],
        blocks,
        pool,
        stats: pass.stats,
        embedding,
    }
}

/// Adds the tower's gradients, from that of the group's embeddings `[n, e]`.
pub fn backward(
    config: &ModelConfig,
    params: &Params,
    grads: &mut Params,
    trace: &ResNetTrace,
    d_embedding: &Tensor,
) {
    let (_, heads) = sizes(config);
    let mut d = attention_pool::backward(params, grads, heads, &trace.pool, d_embedding);
    for block in trace.blocks.iter().rev() {
        d = bottleneck_backward(params, grads, block, &d);
    }
    let [one, two, three] = &trace.stem;
    d = avg_pool_backward(&three.y, 2, &d);
    for layer in [three, two, one] {
        d = conv_norm_backward(params, grads, layer, &relu_backward(&layer.y, &d));
    }
}

/// Adds the parameters' gradients and returns that of the layer's x.
fn conv_norm_backward(
    params: &Params,
    grads: &mut Params,
    layer: &ConvNorm,
    dy: &Tensor,
) -> Tensor {
    let names = &layer.names;
    let norm = format!("{}.", names.norm);
    let (weight, _) = weight_and_bias(params, &norm);
    let grad = batch_norm_backward(&layer.convolved, weight, dy);
    let d_convolved = add_norm(grads, &norm, grad);
    let weight = params.get(&names.conv);
    let grad = conv2d_backward(&layer.x, weight, names.stride, names.pad, &d_convolved);
    grads.add(&names.conv, &grad.weight);
    grad.x
}

/// Adds the parameters' gradients and returns that of the block's x, from that
/// of its output after the last ReLU.
fn bottleneck_backward(
    params: &Params,
    grads: &mut Params,
    block: &Bottleneck,
    dy: &Tensor,
) -> Tensor {
    let stride = block.plan.stride;
    let [first, second, third] = &block.convs;
    let d_sum = relu_backward(&block.sum, dy);
    let d = conv_norm_backward(params, grads, third, &d_sum);
    let d = avg_pool_backward(&second.y, stride, &d);
    let d = conv_norm_backward(params, grads, second, &relu_backward(&second.y, &d));
    let mut dx = conv_norm_backward(params, grads, first, &relu_backward(&first.y, &d));
    match &block.shortcut {
        None => dx.add(&d_sum),
        Some(shortcut) => {
            let d_pooled = conv_norm_backward(params, grads, shortcut, &d_sum);
            dx.add(&avg_pool_backward(&block.x, stride, &d_pooled));
        }
    }
    dx
}
