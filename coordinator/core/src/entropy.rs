//! Nonces and secrets, all from one seed.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use twinspan_types::{Nonce, SessionSecret};

/// A stream of numbers that nobody without the seed can guess.
pub(crate) struct Entropy(ChaCha12Rng);

impl Entropy {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn nonce(&mut self) -> Nonce {
        Nonce(self.0.next_u64())
    }

    /// Short enough for a directory's name.
    pub(crate) fn attempt(&mut self) -> Nonce {
        Nonce(u64::from(self.0.next_u32()))
    }

    pub(crate) fn secret(&mut self) -> SessionSecret {
        SessionSecret(self.0.next_u64())
    }
}
