//! The update: schedule, clipping and AdamW over flat buffers.

mod adamw;
mod schedule;
mod update;

pub use adamw::{AdamW, Moments};
pub use schedule::learning_rate;
pub use update::Optimizer;

/// The logit scale stays within [0, ln 100] (Radford et al. 2021, section 2.5).
pub const LOGIT_SCALE_MAX: f32 = 4.605_170_2;

/// The factor that brings a gradient of this norm to at most `max_norm`, as PyTorch's
/// `clip_grad_norm_` computes it.
#[must_use]
pub fn clip_factor(norm: f64, max_norm: Option<f64>) -> f64 {
    match max_norm {
        Some(max_norm) => (max_norm / (norm + 1e-6)).min(1.0),
        None => 1.0,
    }
}

/// The Euclidean norm of a whole flat gradient; not finite when any element is not.
#[must_use]
pub fn global_norm(gradient: &[f32]) -> f64 {
    let squares = gradient.chunks(1 << 14).map(|chunk| {
        let mut sums = [0.0_f64; 8];
        for eight in chunk.chunks(8) {
            for (sum, g) in sums.iter_mut().zip(eight) {
                *sum += f64::from(*g) * f64::from(*g);
            }
        }
        sums.iter().sum::<f64>()
    });
    squares.sum::<f64>().sqrt()
}
