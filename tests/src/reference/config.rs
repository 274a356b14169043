//! The few numbers that define a CLIP model, as in open_clip's config JSON.

use super::layers::Activation;

/// Both towers and what they share.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Width of the common embedding space.
    pub embed_dim: usize,
    /// Side of the square picture in pixels.
    pub image_size: usize,
    /// The image tower.
    pub vision: VisionConfig,
    /// The text tower.
    pub text: TextConfig,
    /// x·sigmoid(1.702x) in place of the exact GELU, in both towers.
    pub quick_gelu: bool,
}

/// The image tower.
#[derive(Clone, Debug, PartialEq)]
pub enum VisionConfig {
    /// A Vision Transformer.
    Vit {
        /// Number of blocks.
        layers: usize,
        /// Width of the residual stream.
        width: usize,
        /// Width of one attention head.
        head_width: usize,
        /// Side of a patch in pixels.
        patch_size: usize,
        /// Hidden width of the MLP over the width.
        mlp_ratio: f64,
    },
    /// OpenAI's ModifiedResNet.
    ResNet {
        /// Number of bottleneck blocks in each of the four stages.
        layers: [usize; 4],
        /// Channels after the stem.
        width: usize,
        /// Width of one head of the attention pooling.
        head_width: usize,
    },
}

/// The causal text tower.
#[derive(Clone, Debug, PartialEq)]
pub struct TextConfig {
    /// Most tokens in a text.
    pub context_length: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Number of attention heads.
    pub heads: usize,
    /// Number of blocks.
    pub layers: usize,
}

impl ModelConfig {
    /// The activation of the MLPs in both towers.
    #[must_use]
    pub const fn activation(&self) -> Activation {
        if self.quick_gelu {
            Activation::QuickGelu
        } else {
            Activation::Gelu
        }
    }
}

/// Hidden width of an MLP: open_clip's `int(width * mlp_ratio)`.
#[must_use]
pub fn mlp_width(width: usize, mlp_ratio: f64) -> usize {
    (width as f64 * mlp_ratio) as usize
}

/// One bottleneck block of a ModifiedResNet, by its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BottleneckPlan {
    /// Name before the block's own parameters, such as `visual.layer2.0`.
    pub prefix: String,
    /// Channels that come in.
    pub inplanes: usize,
    /// Channels between the convolutions; four times as many go out.
    pub planes: usize,
    /// Factor of the average pooling before the third convolution.
    pub stride: usize,
}

impl BottleneckPlan {
    /// Whether the shortcut has a convolution of its own.
    #[must_use]
    pub const fn has_downsample(&self) -> bool {
        self.stride > 1 || self.inplanes != 4 * self.planes
    }
}

/// The bottleneck blocks of a ModifiedResNet in the order of the forward pass.
#[must_use]
pub fn bottlenecks(layers: [usize; 4], width: usize) -> Vec<BottleneckPlan> {
    let mut plans = Vec::new();
    let mut inplanes = width;
    for (stage, &blocks) in layers.iter().enumerate() {
        let planes = width << stage;
        for block in 0..blocks {
            plans.push(BottleneckPlan {
                prefix: format!("visual.layer{}.{block}", stage + 1),
                inplanes,
                planes,
                stride: if stage > 0 && block == 0 { 2 } else { 1 },
            });
            inplanes = 4 * planes;
        }
    }
    plans
}

/// Heads of the attention pooling: `width * 32 / head_width`, at least 1.
#[must_use]
pub fn pool_heads(width: usize, head_width: usize) -> usize {
    (width * 32 / head_width).max(1)
}
