//! Names, shapes and init rules of every parameter, as open_clip has them.

use super::{Init, ParamSpec, Tower, bottlenecks};
use crate::config::{ModelConfig, TextConfig, VisionConfig, mlp_width};

/// All parameters of a model with their places.
pub(super) fn specs(config: &ModelConfig) -> Vec<ParamSpec> {
    let mut builder = Builder::default();
    builder.add("logit_scale", &[], Init::Constant(config.init_logit_scale));
    if let Some(bias) = config.init_logit_bias {
        builder.add("logit_bias", &[], Init::Constant(bias));
    }
    builder.tower = Tower::Text;
    builder.text(&config.text, config.embed_dim);
    builder.tower = Tower::Image;
    builder.image(&config.vision, config.embed_dim);
    builder.specs
}

struct Builder {
    specs: Vec<ParamSpec>,
    offset: usize,
    tower: Tower,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            specs: Vec::new(),
            offset: 0,
            tower: Tower::Shared,
        }
    }
}

/// Init rules of the weights of one Transformer block.
struct BlockInit {
    in_proj: Init,
    out_proj: Init,
    c_fc: Init,
    c_proj: Init,
}

/// `width^-1/2`.
fn scale(width: usize) -> f64 {
    (width as f64).powf(-0.5)
}

/// open_clip's rule: no decay for vectors, norms, biases and the logit scale.
fn decays(name: &str, shape: &[usize]) -> bool {
    shape.len() >= 2
        && !["bn", "ln", "bias", "logit_scale"]
            .iter()
            .any(|part| name.contains(part))
}

impl Builder {
    fn add(&mut self, name: impl Into<String>, shape: &[usize], init: Init) {
        let name = name.into();
        let spec = ParamSpec {
            decay: decays(&name, shape),
            name,
            shape: shape.to_vec(),
            offset: self.offset,
            tower: self.tower,
            init,
            locked: false,
        };
        self.offset = spec.range().end;
        self.specs.push(spec);
    }

    /// Weight and bias of a layer norm or a batch norm.
    fn norm(&mut self, name: &str, width: usize, weight: Init) {
        self.add(format!("{name}.weight"), &[width], weight);
        self.add(format!("{name}.bias"), &[width], Init::ZEROS);
    }

    /// A linear layer, `[outputs, inputs]` as PyTorch keeps it.
    fn linear(&mut self, name: &str, shape: [usize; 2], weight: Init, bias: Init) {
        self.add(format!("{name}.weight"), &shape, weight);
        self.add(format!("{name}.bias"), &shape[..1], bias);
    }

    /// A square convolution without bias, `[outputs, inputs, kernel, kernel]`.
    fn conv(&mut self, name: &str, outputs: usize, inputs: usize, kernel: usize) {
        self.add(
            format!("{name}.weight"),
            &[outputs, inputs, kernel, kernel],
            Init::fan_in(inputs * kernel * kernel),
        );
    }

    fn blocks(&mut self, name: &str, layers: usize, width: usize, hidden: usize, init: &BlockInit) {
        for layer in 0..layers {
            let block = format!("{name}.resblocks.{layer}");
            self.norm(&format!("{block}.ln_1"), width, Init::ONES);
            self.add(
                format!("{block}.attn.in_proj_weight"),
                &[3 * width, width],
                init.in_proj,
            );
            self.add(
                format!("{block}.attn.in_proj_bias"),
                &[3 * width],
                Init::ZEROS,
            );
            self.linear(
                &format!("{block}.attn.out_proj"),
                [width, width],
                init.out_proj,
                Init::ZEROS,
            );
            self.norm(&format!("{block}.ln_2"), width, Init::ONES);
            self.linear(
                &format!("{block}.mlp.c_fc"),
                [hidden, width],
                init.c_fc,
                Init::fan_in(width),
            );
            self.linear(
                &format!("{block}.mlp.c_proj"),
                [width, hidden],
                init.c_proj,
                Init::fan_in(hidden),
            );
        }
    }

    fn text(&mut self, text: &TextConfig, embed_dim: usize) {
        let width = text.width;
        self.add(
            "token_embedding.weight",
            &[text.vocab_size, width],
            Init::Normal(0.02),
        );
        self.add(
            "positional_embedding",
            &[text.context_length, width],
            Init::Normal(0.01),
        );
        let residual = Init::Normal(scale(width) * scale(2 * text.layers));
        let init = BlockInit {
            in_proj: Init::Normal(scale(width)),
            out_proj: residual,
            c_fc: Init::Normal(scale(2 * width)),
            c_proj: residual,
        };
        let hidden = mlp_width(width, text.mlp_ratio);
        self.blocks("transformer", text.layers, width, hidden, &init);
        self.norm("ln_final", width, Init::ONES);
        self.add(
            "text_projection",
            &[width, embed_dim],
            Init::Normal(scale(width)),
        );
    }

    fn image(&mut self, vision: &VisionConfig, embed_dim: usize) {
        match *vision {
            VisionConfig::ViT {
                layers,
                width,
                mlp_ratio,
                patch_size,
                image_size,
                ..
            } => {
                let patches = (image_size / patch_size).pow(2);
                self.vit(
                    layers,
                    width,
                    mlp_width(width, mlp_ratio),
                    patch_size,
                    patches,
                    embed_dim,
                );
            }
            VisionConfig::ResNet {
                layers,
                width,
                image_size,
                ..
            } => self.resnet(layers, width, (image_size / 32).pow(2), embed_dim),
        }
    }

    fn vit(
        &mut self,
        layers: usize,
        width: usize,
        hidden: usize,
        patch_size: usize,
        patches: usize,
        embed_dim: usize,
    ) {
        let randn = Init::Normal(scale(width));
        self.add("visual.class_embedding", &[width], randn);
        self.add("visual.positional_embedding", &[patches + 1, width], randn);
        self.conv("visual.conv1", width, 3, patch_size);
        self.norm("visual.ln_pre", width, Init::ONES);
        let init = BlockInit {
            // Xavier over the joint [3w, w] matrix, as nn.MultiheadAttention has it.
            in_proj: Init::Uniform((6.0 / (4 * width) as f64).sqrt()),
            out_proj: Init::fan_in(width),
            c_fc: Init::fan_in(width),
            c_proj: Init::fan_in(hidden),
        };
        self.blocks("visual.transformer", layers, width, hidden, &init);
        self.norm("visual.ln_post", width, Init::ONES);
        self.add("visual.proj", &[width, embed_dim], randn);
    }

    fn resnet(&mut self, layers: [usize; 4], width: usize, patches: usize, embed_dim: usize) {
        let half = width / 2;
        for (index, outputs, inputs) in [(1, half, 3), (2, half, half), (3, width, half)] {
            self.conv(&format!("visual.conv{index}"), outputs, inputs, 3);
            self.norm(&format!("visual.bn{index}"), outputs, Init::ONES);
        }
        for block in bottlenecks(layers, width) {
            let name = format!("visual.{}", block.name);
            let (planes, outplanes) = (block.planes, block.outplanes());
            self.conv(&format!("{name}.conv1"), planes, block.inplanes, 1);
            self.norm(&format!("{name}.bn1"), planes, Init::ONES);
            self.conv(&format!("{name}.conv2"), planes, planes, 3);
            self.norm(&format!("{name}.bn2"), planes, Init::ONES);
            self.conv(&format!("{name}.conv3"), outplanes, planes, 1);
            // The residual branch begins at nothing; the stem's bn3 has no branch and keeps ones.
            self.norm(&format!("{name}.bn3"), outplanes, Init::ZEROS);
            if block.has_downsample() {
                self.conv(
                    &format!("{name}.downsample.0"),
                    outplanes,
                    block.inplanes,
                    1,
                );
                self.norm(&format!("{name}.downsample.1"), outplanes, Init::ONES);
            }
        }
        let channels = 32 * width;
        let normal = Init::Normal(scale(channels));
        self.add(
            "visual.attnpool.positional_embedding",
            &[patches + 1, channels],
            normal,
        );
        for (projection, outputs) in [
            ("q_proj", channels),
            ("k_proj", channels),
            ("v_proj", channels),
            ("c_proj", embed_dim),
        ] {
            self.linear(
                &format!("visual.attnpool.{projection}"),
                [outputs, channels],
                normal,
                Init::fan_in(channels),
            );
        }
    }
}
