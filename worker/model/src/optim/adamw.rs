//! AdamW in one pass over flat memory (Loshchilov and Hutter 2019, algorithm 2; PyTorch's form).

use crate::params::ParamTable;
use twinspan_types::Step;
use twinspan_types::config::OptimizerConfig;

/// First and second moments of every parameter, in the table's flat layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments<N = Vec<f32>> {
    /// Running mean of the gradient.
    pub exp_avg: N,
    /// Running mean of the squared gradient.
    pub exp_avg_sq: N,
}

impl Moments {
    /// All zero, for `elements` parameters.
    #[must_use]
    pub fn zeros(elements: usize) -> Self {
        Self {
            exp_avg: vec![0.0; elements],
            exp_avg_sq: vec![0.0; elements],
        }
    }
}

/// The numbers of one update.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) eps: f32,
    /// lr / (1 - beta1^t).
    pub(super) step_size: f32,
    /// 1 / sqrt(1 - beta2^t).
    pub(super) root_correction: f32,
    /// 1 - lr * weight decay, for parameters that decay.
    pub(super) keep: f32,
}

impl AdamW {
    /// The update that brings `committed` steps to one more, at learning rate `lr`.
    #[must_use]
    pub fn new(config: &OptimizerConfig, committed: Step, lr: f64) -> Self {
        let t = (committed.0 + 1) as f64;
        Self {
            beta1: config.beta1 as f32,
            beta2: config.beta2 as f32,
            eps: config.eps as f32,
            step_size: (lr / (1.0 - config.beta1.powf(t))) as f32,
            root_correction: (1.0 / (1.0 - config.beta2.powf(t)).sqrt()) as f32,
            keep: (1.0 - lr * config.weight_decay) as f32,
        }
    }

    /// Updates every parameter that is not locked from `gradient` times `clip`; all slices in the table's layout.
    pub fn apply(
        &self,
        table: &ParamTable,
        params: &mut [f32],
        gradient: &[f32],
        clip: f32,
        exp_avg: &mut [f32],
        exp_avg_sq: &mut [f32],
    ) {
        for spec in table.specs().iter().filter(|spec| !spec.locked) {
            let range = spec.range();
            self.update(
                &mut params[range.clone()],
                &gradient[range.clone()],
                &mut exp_avg[range.clone()],
                &mut exp_avg_sq[range],
                spec.decay,
                clip,
            );
        }
    }

    /// Updates one parameter, with weight decay or without, and its moments.
    pub(crate) fn update(
        &self,
        p: &mut [f32],
        g: &[f32],
        m: &mut [f32],
        v: &mut [f32],
        decay: bool,
        clip: f32,
    ) {
        let keep = if decay { self.keep } else { 1.0 };
        for (((p, g), m), v) in p.iter_mut().zip(g).zip(m).zip(v) {
            let g = *g * clip;
            *m += (g - *m) * (1.0 - self.beta1);
            *v = *v * self.beta2 + g * g * (1.0 - self.beta2);
            let denominator = v.sqrt() * self.root_correction + self.eps;
            *p = *p * keep - self.step_size * *m / denominator;
        }
    }
}
