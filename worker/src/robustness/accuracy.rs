//! A share of right answers, and how sure it is.

use crate::eval::ZeroShotReport;
use serde::{Deserialize, Serialize};

/// Standard deviations of a normal distribution that 95 % lie within.
pub(super) const Z_95: f64 = 1.959_963_984_540_054;

/// How often the class that came first was the right one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Pictures.
    pub pictures: usize,
    /// Those whose right class came first.
    pub correct: usize,
    /// Their share.
    pub top1: f64,
    /// Ends of the share's 95 % interval (Wilson 1927).
    pub interval: [f64; 2],
}

impl Accuracy {
    /// Of so many pictures.
    #[must_use]
    pub fn new(correct: usize, pictures: usize) -> Self {
        let n = pictures.max(1) as f64;
        let top1 = correct as f64 / n;
        let square = Z_95 * Z_95;
        let middle = (top1 + square / (2.0 * n)) / (1.0 + square / n);
        let half =
            Z_95 / (1.0 + square / n) * (top1 * (1.0 - top1) / n + square / (4.0 * n * n)).sqrt();
        Self {
            pictures,
            correct,
            top1,
            interval: [(middle - half).max(0.0), (middle + half).min(1.0)],
        }
    }

    /// Variance of the share, as a binomial's.
    pub(super) fn variance(&self) -> f64 {
        self.top1 * (1.0 - self.top1) / self.pictures.max(1) as f64
    }

    /// Variance of the share's logarithm, to first order.
    pub(super) fn log_variance(&self) -> f64 {
        self.variance() / self.top1.powi(2)
    }
}

impl From<&ZeroShotReport> for Accuracy {
    fn from(report: &ZeroShotReport) -> Self {
        let correct = (report.top1 * report.pictures as f64).round() as usize;
        Self::new(correct, report.pictures as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // Newcombe 1998, table I: 81 of 263, and 0 of 20.
        for (correct, pictures, low, high) in [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)] {
            let [found_low, found_high] = Accuracy::new(correct, pictures).interval;
            assert!((found_low - low).abs() < 1e-4, "{found_low}");
            assert!((found_high - high).abs() < 1e-4, "{found_high}");
        }
    }

    #[test]
    fn no_pictures_give_no_share_and_no_certainty() {
        let none = Accuracy::new(0, 0);
        assert_eq!(none.top1, 0.0);
        assert!(none.interval[1] > 0.7);
    }
}
