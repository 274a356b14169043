//! Names and shapes of all parameters of a model, as open_clip has them.

use std::collections::BTreeMap;

use super::config::{ModelConfig, VisionConfig, bottlenecks, mlp_width};
use super::params::Params;
use super::tensor::Tensor;
use crate::random::Rng;

/// Every parameter's name with its shape; batch norm's running statistics are
/// buffers and not among them.
#[must_use]
pub fn param_shapes(config: &ModelConfig) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes::default();
    let text = &config.text;
    shapes.put("logit_scale", &[]);
    shapes.put("positional_embedding", &[text.context_length, text.width]);
    shapes.put("token_embedding.weight", &[text.vocab_size, text.width]);
    shapes.put("text_projection", &[text.width, config.embed_dim]);
    shapes.put_transformer("transformer", text.layers, text.width, 4 * text.width);
    shapes.put_norm("ln_final", text.width);
    match config.vision {
        VisionConfig::Vit {
            layers,
            width,
            patch_size,
            mlp_ratio,
            ..
        } => {
            let tokens = (config.image_size / patch_size).pow(2) + 1;
            shapes.put("visual.conv1.weight", &[width, 3, patch_size, patch_size]);
            shapes.put("visual.class_embedding", &[width]);
            shapes.put("visual.positional_embedding", &[tokens, width]);
            shapes.put_norm("visual.ln_pre", width);
            let hidden = mlp_width(width, mlp_ratio);
            shapes.put_transformer("visual.transformer", layers, width, hidden);
            shapes.put_norm("visual.ln_post", width);
            shapes.put("visual.proj", &[width, config.embed_dim]);
        }
        VisionConfig::ResNet { layers, width, .. } => shapes.put_resnet(layers, width, config),
    }
    shapes.0
}

/// Random parameters for tests: weights with standard deviation
/// fan-in^(-1/2), norms' weights around 1, everything else small and not 0.
#[must_use]
pub fn random_params(config: &ModelConfig, rng: &mut Rng) -> Params {
    param_shapes(config)
        .into_iter()
        .map(|(name, shape)| {
            let tensor = match shape.as_slice() {
                [] => Tensor::new(&[], vec![1.5 + 0.1 * rng.normal()]),
                [_] if name.ends_with("weight") => {
                    Tensor::random(&shape, 0.2, rng).map(|v| v + 1.0)
                }
                [_] => Tensor::random(&shape, 0.2, rng),
                [_, fan_in @ ..] => {
                    let fan_in: usize = fan_in.iter().product();
                    Tensor::random(&shape, (fan_in as f64).powf(-0.5), rng)
                }
            };
            (name, tensor)
        })
        .collect()
}

#[derive(Default)]
struct Shapes(BTreeMap<String, Vec<usize>>);

impl Shapes {
    fn put(&mut self, name: impl Into<String>, shape: &[usize]) {
        self.0.insert(name.into(), shape.to_vec());
    }

    fn put_norm(&mut self, stem: &str, width: usize) {
        self.put(format!("{stem}.weight"), &[width]);
        self.put(format!("{stem}.bias"), &[width]);
    }

    fn put_linear(&mut self, stem: &str, outer: usize, inner: usize) {
        self.put(format!("{stem}.weight"), &[outer, inner]);
        self.put(format!("{stem}.bias"), &[outer]);
    }

    fn put_transformer(&mut self, stem: &str, layers: usize, width: usize, hidden: usize) {
        for i in 0..layers {
            let block = format!("{stem}.resblocks.{i}");
            self.put_norm(&format!("{block}.ln_1"), width);
            self.put(format!("{block}.attn.in_proj_weight"), &[3 * width, width]);
            self.put(format!("{block}.attn.in_proj_bias"), &[3 * width]);
            self.put_linear(&format!("{block}.attn.out_proj"), width, width);
            self.put_norm(&format!("{block}.ln_2"), width);
            self.put_linear(&format!("{block}.mlp.c_fc"), hidden, width);
            self.put_linear(&format!("{block}.mlp.c_proj"), width, hidden);
        }
    }

    fn put_conv_norm(&mut self, conv: &str, norm: &str, [outer, inner, side]: [usize; 3]) {
        self.put(format!("{conv}.weight"), &[outer, inner, side, side]);
        self.put_norm(norm, outer);
    }

    fn put_resnet(&mut self, layers: [usize; 4], width: usize, config: &ModelConfig) {
        let half = width / 2;
        self.put_conv_norm("visual.conv1", "visual.bn1", [half, 3, 3]);
        self.put_conv_norm("visual.conv2", "visual.bn2", [half, half, 3]);
        self.put_conv_norm("visual.conv3", "visual.bn3", [width, half, 3]);
        for plan in bottlenecks(layers, width) {
            let (p, planes, outer) = (&plan.prefix, plan.planes, 4 * plan.planes);
            let sizes = [
                [planes, plan.inplanes, 1],
                [planes, planes, 3],
                [outer, planes, 1],
            ];
            for (n, size) in (1..).zip(sizes) {
                self.put_conv_norm(&format!("{p}.conv{n}"), &format!("{p}.bn{n}"), size);
            }
            if plan.has_downsample() {
                let (conv, norm) = (format!("{p}.downsample.0"), format!("{p}.downsample.1"));
                self.put_conv_norm(&conv, &norm, [outer, plan.inplanes, 1]);
            }
        }
        let channels = 32 * width;
        let tokens = (config.image_size / 32).pow(2) + 1;
        self.put("visual.attnpool.positional_embedding", &[tokens, channels]);
        for name in ["q_proj", "k_proj", "v_proj"] {
            self.put_linear(&format!("visual.attnpool.{name}"), channels, channels);
        }
        self.put_linear("visual.attnpool.c_proj", config.embed_dim, channels);
    }
}

#[cfg(test)]
mod tests {
    use super::param_shapes;
    use crate::reference::config::{ModelConfig, TextConfig, VisionConfig};

    fn count(embed_dim: usize, vision: VisionConfig) -> usize {
        let config = ModelConfig {
            embed_dim,
            image_size: 224,
            vision,
            text: TextConfig {
                context_length: 77,
                vocab_size: 49408,
                width: 512,
                heads: 8,
                layers: 12,
            },
            quick_gelu: false,
        };
        let shapes = param_shapes(&config);
        shapes.values().map(|s| s.iter().product::<usize>()).sum()
    }

    #[test]
    fn the_published_models_have_their_published_number_of_parameters() {
        let vit_b_32 = VisionConfig::Vit {
            layers: 12,
            width: 768,
            head_width: 64,
            patch_size: 32,
            mlp_ratio: 4.0,
        };
        assert_eq!(count(512, vit_b_32), 151_277_313);
        let rn50 = VisionConfig::ResNet {
            layers: [3, 4, 6, 3],
            width: 64,
            head_width: 64,
        };
        assert_eq!(count(1024, rn50), 102_007_137);
    }
}
