//! Labelled training pictures in two parts, for an experiment that compares models: those that are
//! trained on, and one in ten that are kept from it.
//!
//! A picture's part is decided by its key alone, so that it is the same in every source, in every
//! order and for every seed.

mod error;
mod labels;
mod write;

pub use error::HoldOutError;
pub use labels::{Labels, read_labels};
pub use write::{HELD_IN, HELD_OUT, write_split};

use crate::random::first_word;

/// Of so many pictures one is held out.
pub const ONE_IN: u64 = 10;

/// Whether the picture of this key is kept from training.
#[must_use]
pub fn is_held_out(key: &str) -> bool {
    first_word("held out", &[], key).is_multiple_of(ONE_IN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_tenth_is_held_out_every_time() {
        let keys: Vec<String> = (0..20_000).map(|n| format!("style_{n:X}")).collect();
        let held_out = keys.iter().filter(|key| is_held_out(key)).count();
        assert!((1_850..2_150).contains(&held_out), "{held_out}");
        // Another split would make results of different builds incomparable.
        let first: Vec<usize> = (0..60).filter(|n| is_held_out(&keys[*n])).collect();
        assert_eq!(first, FIRST);
    }

    /// The first of those keys that are held out.
    const FIRST: [usize; 5] = [5, 20, 36, 43, 45];
}
