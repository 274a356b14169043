//! Random numbers that are a pure function of a key, and stay the same for ever.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

/// A stream of random numbers keyed by what it is for.
///
/// The stream is ChaCha8 whose key is SHA-256 of `"twinspan 1"`, the domain, the numbers in
/// little-endian order and the text, with the lengths of the first two before them, so that no two
/// keys meet. Changing any of this changes the data order of every run.
pub(crate) struct Keyed(ChaCha8Rng);

impl Keyed {
    /// The stream of a domain and its numbers.
    pub(crate) fn new(domain: &str, numbers: &[u64]) -> Self {
        Self::with_text(domain, numbers, "")
    }

    /// The stream of a domain, its numbers and a text.
    pub(crate) fn with_text(domain: &str, numbers: &[u64], text: &str) -> Self {
        Self(ChaCha8Rng::from_seed(digest(domain, numbers, text)))
    }

    /// A number below `bound`, all equally likely (Lemire's method); 0 where `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.0.next_u64()) * u128::from(bound);
        // The low half tells whether this draw lies in the part that would favour some numbers.
        if (product as u64) < bound {
            let unfair = bound.wrapping_neg() % bound;
            while (product as u64) < unfair {
                product = u128::from(self.0.next_u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// A number in `[low, high)`, from 53 random bits.
    pub(crate) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        let unit = (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        low + (high - low) * unit
    }

    /// Fisher-Yates from the end.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1);
            items.swap(last, other as usize);
        }
    }
}

/// The first 64 bits of [`digest`].
pub(crate) fn first_word(domain: &str, numbers: &[u64], text: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest(domain, numbers, text);
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// SHA-256 of a domain, numbers and a text, so that no two keys meet.
fn digest(domain: &str, numbers: &[u64], text: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"twinspan 1");
    hash.update((domain.len() as u64).to_le_bytes());
    hash.update(domain);
    hash.update((numbers.len() as u64).to_le_bytes());
    for number in numbers {
        hash.update(number.to_le_bytes());
    }
    hash.update(text);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_never_changes() {
        let mut keyed = Keyed::new("test", &[1, 2]);
        let drawn: Vec<u64> = (0..4).map(|_| keyed.below(1000)).collect();
        // Worked out by another ChaCha8 and SHA-256 than these, from the description above.
        assert_eq!(drawn, [498, 527, 861, 248]);
        let mut items: Vec<u32> = (0..8).collect();
        Keyed::with_text("test", &[1], "key").shuffle(&mut items);
        assert_eq!(items, [4, 3, 1, 7, 5, 6, 0, 2]);
    }

    #[test]
    fn every_number_below_a_bound_is_equally_likely() {
        let mut counts = [0_u32; 7];
        let mut keyed = Keyed::new("test", &[3]);
        for _ in 0..70_000 {
            counts[keyed.below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (9_500..10_500).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn keys_do_not_run_into_each_other() {
        assert_ne!(
            digest("a", &[1], ""),
            digest("a", &[], "\u{1}\0\0\0\0\0\0\0")
        );
        assert_ne!(digest("ab", &[], ""), digest("a", &[], "b"));
    }
}
