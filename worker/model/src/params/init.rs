//! First values of one parameter from a stream keyed by seed and name.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every value the same.
    Constant(f32),
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
}

impl Init {
    /// Zeros.
    pub const ZEROS: Self = Self::Constant(0.0);
    /// Ones.
    pub const ONES: Self = Self::Constant(1.0);

    /// PyTorch's default for the weight and the bias of a linear layer or a convolution.
    #[must_use]
    pub fn fan_in(inputs: usize) -> Self {
        Self::Uniform((inputs as f64).powf(-0.5))
    }

    /// Writes the first values of the parameter called `name`.
    pub fn fill(self, seed: u64, name: &str, values: &mut [f32]) {
        let mut random = stream(seed, name);
        match self {
            Self::Constant(value) => values.fill(value),
            Self::Uniform(bound) => {
                for value in values {
                    *value = (signed_unit(&mut random) * bound) as f32;
                }
            }
            Self::Normal(std) => {
                for pair in values.chunks_mut(2) {
                    let normals = two_normals(&mut random);
                    for (value, normal) in pair.iter_mut().zip(normals) {
                        *value = (normal * std) as f32;
                    }
                }
            }
        }
    }
}

/// A stream of its own for each seed and name (FNV-1a of the name).
fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut key = *b"................twinspan-params1";
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&hash.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// Uniform in [-1, 1) with 53 random bits.
fn signed_unit(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 * (2.0 / (1_u64 << 53) as f64) - 1.0
}

/// Marsaglia's polar method.
fn two_normals(random: &mut ChaCha8Rng) -> [f64; 2] {
    loop {
        let (x, y) = (signed_unit(random), signed_unit(random));
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            let factor = (-2.0 * square.ln() / square).sqrt();
            return [x * factor, y * factor];
        }
    }
}
