//! The learning rate of a step.

use std::f64::consts::PI;
use twinspan_types::Step;
use twinspan_types::config::{OptimizerConfig, Schedule};

/// The learning rate of the update that follows `committed` steps out of `total`, as open_clip's
/// `cosine_lr`, `const_lr` and `const_lr_cooldown` give it.
#[must_use]
pub fn learning_rate(config: &OptimizerConfig, committed: Step, total: Step) -> f64 {
    let (step, total) = (committed.0, total.0);
    if step < config.warmup {
        return config.lr * (step + 1) as f64 / config.warmup as f64;
    }
    match config.schedule {
        Schedule::Const => config.lr,
        Schedule::Cosine => {
            let done = (step - config.warmup) as f64 / (total - config.warmup).max(1) as f64;
            0.5 * (1.0 + (PI * done).cos()) * config.lr
        }
        Schedule::ConstCooldown => {
            let start = total.saturating_sub(config.cooldown);
            match step.checked_sub(start) {
                None => config.lr,
                Some(cooled) => config.lr * (1.0 - cooled as f64 / config.cooldown as f64).max(0.0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(warmup: u64, schedule: Schedule, cooldown: u64) -> OptimizerConfig {
        OptimizerConfig {
            lr: 2.0,
            beta1: 0.9,
            beta2: 0.98,
            eps: 1e-6,
            weight_decay: 0.2,
            warmup,
            schedule,
            cooldown,
            grad_clip_norm: None,
            max_bad_steps: 3,
        }
    }

    #[test]
    fn warm_up_rises_to_the_rate_and_cosine_falls_to_nothing() {
        let config = config(4, Schedule::Cosine, 0);
        let rate = |step| learning_rate(&config, Step(step), Step(104));
        assert_eq!([rate(0), rate(3), rate(4)], [0.5, 2.0, 2.0]);
        assert!((rate(54) - 1.0).abs() < 1e-12);
        assert!(rate(103) < 1e-3);
    }

    #[test]
    fn a_cooldown_ends_in_a_straight_line() {
        let config = config(0, Schedule::ConstCooldown, 10);
        let rate = |step| learning_rate(&config, Step(step), Step(100));
        assert_eq!([rate(0), rate(90), rate(95)], [2.0, 2.0, 1.0]);
    }
}
