//! OpenAI's ModifiedResNet: three-convolution stem, pooling in place of strides, attention pooling.

use burn::tensor::activation::{relu, softmax};
use burn::tensor::{DType, Tensor, TensorData};

use super::transformer::linear;
use super::weights::Scope;
use super::{BatchNorm, EPSILON};
use crate::config::{ModelConfig, VisionConfig, resnet_pool_heads};
use crate::ops;
use crate::params::{Bottleneck, BufferTable, bottlenecks};

/// Square feature maps as rows `[b * side * side, c]`.
#[derive(Clone)]
struct Maps {
    rows_nc: Tensor<2>,
    batch: usize,
    side: usize,
}

impl Maps {
    fn nhwc(self) -> Tensor<4> {
        let channels = self.rows_nc.dims()[1];
        self.rows_nc
            .reshape([self.batch, self.side, self.side, channels])
    }

    fn from_nhwc(x_bhwc: Tensor<4>) -> Self {
        let [batch, side, _, channels] = x_bhwc.dims();
        Self {
            rows_nc: x_bhwc.reshape([batch * side * side, channels]),
            batch,
            side,
        }
    }

    fn with_rows(self, rows_nc: Tensor<2>) -> Self {
        Self { rows_nc, ..self }
    }

    /// Anti-aliased halving.
    fn avg_pool(self, factor: usize) -> Self {
        match factor {
            1 => self,
            _ => Self::from_nhwc(ops::avg_pool(self.nhwc(), factor)),
        }
    }

    /// Convolution of one pixel: a linear layer over the channels.
    fn conv1(self, w: &Scope<'_>, name: &str) -> Self {
        let weight = w.scope(name).matrix("weight");
        let rows_nc = ops::linear(self.rows_nc.clone(), weight, None);
        self.with_rows(rows_nc)
    }

    /// Convolution of 3 x 3 pixels with one pixel of padding.
    fn conv3(self, w: &Scope<'_>, name: &str, stride: usize) -> Self {
        let (batch, side) = (self.batch, (self.side - 1) / stride + 1);
        let patches_nk = ops::im2col(self.nhwc(), 3, stride, 1);
        Self {
            rows_nc: ops::linear(patches_nk, w.scope(name).matrix("weight"), None),
            batch,
            side,
        }
    }
}

/// The batch norms of one forward pass, in the order of the table.
pub(super) struct Norms<'a> {
    table: &'a BufferTable,
    mode: BatchNorm<'a>,
    visited: usize,
    stats: Vec<f32>,
}

impl<'a> Norms<'a> {
    pub(super) fn new(table: &'a BufferTable, mode: BatchNorm<'a>) -> Self {
        let values = match mode {
            BatchNorm::Batch => table.total(),
            BatchNorm::Running(running) => {
                assert_eq!(running.len(), table.total(), "running statistics");
                0
            }
        };
        Self {
            table,
            mode,
            visited: 0,
            stats: vec![0.0; values],
        }
    }

    /// The next batch norm, with or without the rectifier behind it.
    fn apply(&mut self, w: &Scope<'_>, name: &str, maps: Maps, rectify: bool) -> Maps {
        let norm = &self.table.norms()[self.visited];
        assert_eq!(norm.name, w.path(name), "order of the batch norms");
        self.visited += 1;
        let scope = w.scope(name);
        let (gamma_c, beta_c) = (scope.vector("weight"), scope.vector("bias"));
        let rows_nc = maps.rows_nc.clone();
        let rows_nc = match self.mode {
            BatchNorm::Batch => {
                let (rows_nc, stats) = ops::batch_norm(rows_nc, gamma_c, beta_c, EPSILON, rectify);
                self.stats[norm.mean()].copy_from_slice(&stats.mean);
                self.stats[norm.variance()].copy_from_slice(&stats.variance);
                rows_nc
            }
            BatchNorm::Running(running) => {
                let device = rows_nc.device();
                let inverse: Vec<f32> = running[norm.variance()]
                    .iter()
                    .map(|variance| (variance + EPSILON).sqrt().recip())
                    .collect();
                let constant = |values| {
                    let data = TensorData::new(values, [norm.channels]);
                    Tensor::<1>::from_data(data, &device)
                };
                let scale_c = gamma_c * constant(inverse);
                let shift_c = beta_c - constant(running[norm.mean()].to_vec()) * scale_c.clone();
                let wide_nc = rows_nc.cast(DType::F32);
                let rows_nc = w.activations(wide_nc * scale_c.unsqueeze() + shift_c.unsqueeze());
                if rectify { relu(rows_nc) } else { rows_nc }
            }
        };
        maps.with_rows(rows_nc)
    }
}

/// Normalised pictures `[b, side, side, 3]` to features `[b, e]`, not yet of unit length, and the
/// statistics of this batch.
pub(super) fn forward(
    config: &ModelConfig,
    w: &Scope<'_>,
    x_bhwc: Tensor<4>,
    mut norms: Norms<'_>,
) -> (Tensor<2>, Vec<f32>) {
    let VisionConfig::ResNet {
        layers,
        width,
        head_width,
        ..
    } = config.vision
    else {
        unreachable!("the caller dispatches on the tower");
    };
    let mut x = Maps::from_nhwc(w.activations(x_bhwc));
    x = norms.apply(w, "bn1", x.conv3(w, "conv1", 2), true);
    x = norms.apply(w, "bn2", x.conv3(w, "conv2", 1), true);
    x = norms.apply(w, "bn3", x.conv3(w, "conv3", 1), true);
    x = x.avg_pool(2);
    for block in bottlenecks(layers, width) {
        x = bottleneck(w, &block, x, &mut norms);
    }
    let heads = resnet_pool_heads(width, head_width);
    (attention_pool(&w.scope("attnpool"), x, heads), norms.stats)
}

fn bottleneck(visual: &Scope<'_>, block: &Bottleneck, x: Maps, norms: &mut Norms<'_>) -> Maps {
    let w = visual.scope(&block.name);
    let mut y = norms.apply(&w, "bn1", x.clone().conv1(&w, "conv1"), true);
    y = norms.apply(&w, "bn2", y.conv3(&w, "conv2", 1), true);
    y = y.avg_pool(block.stride).conv1(&w, "conv3");
    y = norms.apply(&w, "bn3", y, false);
    let shortcut = if block.has_downsample() {
        let pooled = x.avg_pool(block.stride).conv1(&w, "downsample.0");
        norms.apply(&w, "downsample.1", pooled, false)
    } else {
        x
    };
    let rows_nc = relu(y.rows_nc.clone() + shortcut.rows_nc);
    y.with_rows(rows_nc)
}

/// Attention whose one query is the mean over all positions.
///
/// With one query a product with the keys is a sum over a broadcast, which needs no small matrix
/// products and no transposed copies. The keys' bias is left out: it adds one number to all scores
/// of a query, which softmax takes away, so its gradient is zero.
fn attention_pool(w: &Scope<'_>, x: Maps, heads: usize) -> Tensor<2> {
    let [rows, channels] = x.rows_nc.dims();
    let (batch, tokens) = (x.batch, rows / x.batch + 1);
    let head_width = channels / heads;
    let x_btc = x.rows_nc.reshape([batch, tokens - 1, channels]);
    let mean_btc = x_btc.clone().mean_dim(1);
    let x_btc =
        Tensor::cat(vec![mean_btc, x_btc], 1) + w.matrix("positional_embedding").unsqueeze();
    let first_bc = x_btc.clone().narrow(1, 0, 1).reshape([batch, channels]);
    let x_nc = x_btc.reshape([batch * tokens, channels]);

    let query_bthd = linear(w, "q_proj", first_bc).reshape([batch, 1, heads, head_width]);
    let key_nc = ops::linear(x_nc.clone(), w.matrix("k_proj.weight"), None);
    let key_bthd = key_nc.reshape([batch, tokens, heads, head_width]);
    let value_bthd = linear(w, "v_proj", x_nc).reshape([batch, tokens, heads, head_width]);
    let query_bthd = query_bthd * (head_width as f32).powf(-0.5);
    let score_bth1 = (query_bthd * key_bthd).sum_dim(3);
    let share_bth1 = softmax(score_bth1, 1);
    let pooled_bc = (share_bth1 * value_bthd)
        .sum_dim(1)
        .reshape([batch, channels]);
    linear(w, "c_proj", pooled_bc)
}
