//! The optimiser: clipping, AdamW as PyTorch has it, open_clip's groups and
//! schedule, and the clamp of the logit scale.

use std::f64::consts::PI;

use super::params::Params;

/// AdamW's fixed numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay, where [`decays`] says so.
    pub weight_decay: f64,
}

/// AdamW with its moments.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    first: Params,
    second: Params,
    /// Updates done.
    updates: i32,
}

impl AdamW {
    /// An optimiser at rest for parameters of these names and shapes.
    #[must_use]
    pub fn new(config: AdamWConfig, params: &Params) -> Self {
        Self {
            config,
            first: params.zeros_like(),
            second: params.zeros_like(),
            updates: 0,
        }
    }

    /// One update in place with learning rate `lr`, by the formulas of
    /// `torch.optim.AdamW`.
    pub fn step(&mut self, params: &mut Params, gradients: &Params, lr: f64) {
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.config;
        self.updates += 1;
        let correction1 = 1.0 - beta1.powi(self.updates);
        let correction2 = 1.0 - beta2.powi(self.updates);
        for (name, p) in params.iter_mut() {
            let decay = if decays(name, p.shape.len()) {
                weight_decay
            } else {
                0.0
            };
            let g = gradients.get(name);
            let m = self.first.get_mut(name);
            let v = self.second.get_mut(name);
            for i in 0..p.data.len() {
                m.data[i] = beta1 * m.data[i] + (1.0 - beta1) * g.data[i];
                v.data[i] = beta2 * v.data[i] + (1.0 - beta2) * g.data[i].powi(2);
                let root = v.data[i].sqrt() / correction2.sqrt() + epsilon;
                p.data[i] *= 1.0 - lr * decay;
                p.data[i] -= lr / correction1 * m.data[i] / root;
            }
        }
    }
}

/// Whether weight decay holds for a parameter: open_clip's rule on its name and
/// number of dimensions.
#[must_use]
pub fn decays(name: &str, dimensions: usize) -> bool {
    let excluded = ["bn", "ln", "bias", "logit_scale"];
    dimensions >= 2 && !excluded.iter().any(|part| name.contains(part))
}

/// Scales all gradients so that their joint norm is at most `max_norm`, as
/// `torch.nn.utils.clip_grad_norm_` does, and returns the norm before.
pub fn clip_global_norm(gradients: &mut Params, max_norm: f64) -> f64 {
    let norm = gradients.norm();
    let factor = (max_norm / (norm + 1e-6)).min(1.0);
    for (_, gradient) in gradients.iter_mut() {
        for value in &mut gradient.data {
            *value *= factor;
        }
    }
    norm
}

/// Learning rate of step `step` (from 0) of `total`: linear warm-up over
/// `warmup` steps, then half a cosine to 0. open_clip's `cosine_lr`.
#[must_use]
pub fn cosine_lr(base: f64, warmup: u64, total: u64, step: u64) -> f64 {
    if step < warmup {
        return base * (step + 1) as f64 / warmup as f64;
    }
    let passed = (step - warmup) as f64 / (total - warmup) as f64;
    0.5 * (1.0 + (PI * passed).cos()) * base
}

/// Keeps the logit scale in [0, ln 100], as after every update.
pub fn clamp_logit_scale(params: &mut Params) {
    let scale = &mut params.get_mut("logit_scale").data[0];
    *scale = scale.clamp(0.0, 100f64.ln());
}

#[cfg(test)]
mod tests {
    use super::{AdamW, AdamWConfig, clamp_logit_scale, clip_global_norm, cosine_lr, decays};
    use crate::reference::params::Params;
    use crate::reference::tensor::Tensor;

    const CONFIG: AdamWConfig = AdamWConfig {
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-6,
        weight_decay: 0.2,
    };

    fn one(name: &str, shape: &[usize], value: f64) -> Params {
        let mut params = Params::new();
        params.insert(name, Tensor::new(shape, vec![value]));
        params
    }

    #[test]
    fn the_first_update_is_the_rate_in_the_gradients_direction_after_decay() {
        let mut params = one("visual.proj", &[1, 1], 2.0);
        let mut adam = AdamW::new(CONFIG, &params);
        adam.step(&mut params, &one("visual.proj", &[1, 1], -3.0), 0.01);
        let expected = 2.0 * (1.0 - 0.01 * 0.2) + 0.01 * 3.0 / (3.0 + 1e-6);
        assert!((params.get("visual.proj").data[0] - expected).abs() < 1e-15);
    }

    #[test]
    fn the_second_update_has_both_moments_corrected() {
        let mut params = one("ln_final.bias", &[1], 1.0);
        let mut adam = AdamW::new(CONFIG, &params);
        for g in [1.0, 2.0] {
            adam.step(&mut params, &one("ln_final.bias", &[1], g), 0.1);
        }
        let m = (0.9 * 0.1 + 0.1 * 2.0) / (1.0 - 0.81);
        let v: f64 = (0.98 * 0.02 + 0.02 * 4.0) / (1.0 - 0.98f64.powi(2));
        let expected = 1.0 - 0.1 / (1.0 + 1e-6) - 0.1 * m / (v.sqrt() + 1e-6);
        let got = params.get("ln_final.bias").data[0];
        assert!((got - expected).abs() < 1e-13, "{got} {expected}");
    }

    #[test]
    fn norms_biases_vectors_and_the_scale_do_not_decay() {
        for (name, dimensions) in [
            ("logit_scale", 0),
            ("visual.class_embedding", 1),
            ("visual.layer1.0.downsample.1.weight", 1),
            ("visual.bn1.weight", 1),
            ("transformer.resblocks.0.ln_1.weight", 2),
            ("transformer.resblocks.0.attn.in_proj_bias", 1),
        ] {
            assert!(!decays(name, dimensions), "{name}");
        }
        for name in [
            "text_projection",
            "positional_embedding",
            "token_embedding.weight",
            "visual.layer1.0.downsample.0.weight",
            "transformer.resblocks.0.attn.in_proj_weight",
        ] {
            assert!(decays(name, 2), "{name}");
        }
    }

    #[test]
    fn a_norm_over_the_limit_is_cut_and_one_under_it_is_left() {
        let mut gradients = one("a", &[], 3.0);
        gradients.insert("b", Tensor::new(&[1], vec![4.0]));
        let same = gradients.clone();
        assert_eq!(clip_global_norm(&mut gradients, 10.0), 5.0);
        assert_eq!(gradients, same);
        assert_eq!(clip_global_norm(&mut gradients, 1.0), 5.0);
        assert!((gradients.norm() - 1.0).abs() < 1e-6);
        assert!(gradients.norm() < 1.0);
    }

    #[test]
    fn the_rate_rises_in_a_line_and_falls_as_half_a_cosine() {
        let rate = |step| cosine_lr(0.5, 4, 12, step);
        assert_eq!(rate(0), 0.125);
        assert_eq!(rate(3), 0.5);
        assert_eq!(rate(4), 0.5);
        assert!((rate(8) - 0.25).abs() < 1e-15);
        assert!(rate(12).abs() < 1e-15);
        assert_eq!(cosine_lr(0.5, 0, 12, 0), 0.5);
    }

    #[test]
    fn the_logit_scale_stays_between_zero_and_ln_100() {
        for (before, after) in [(-1.0, 0.0), (2.0, 2.0), (5.0, 100f64.ln())] {
            let mut params = one("logit_scale", &[], before);
            clamp_logit_scale(&mut params);
            assert_eq!(params.get("logit_scale").data[0], after);
        }
    }
}
