//! What two neighbours tell each other before the first frame.

use twinspan_types::{Generation, Nonce, Rank, WorldSize};

/// Bytes of a hello: magic, version u32, from u32, to u32, world size u32, generation u64,
/// token u64, all little-endian.
pub(super) const HELLO: usize = 40;
const MAGIC: [u8; 8] = *b"twinspan";
/// Raised when frames or hellos change.
const VERSION: u32 = 1;

/// Both ends send one: the connecting side first, the accepting side when it agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    pub from: Rank,
    pub to: Rank,
    pub world_size: WorldSize,
    pub generation: Generation,
    pub token: Nonce,
}

impl Hello {
    pub fn encode(&self) -> [u8; HELLO] {
        let mut bytes = [0; HELLO];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.from.0.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.to.0.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.world_size.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.generation.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.token.0.to_le_bytes());
        bytes
    }

    /// Compares what came with this, the expected hello; an error says what differs.
    pub fn check(&self, bytes: &[u8; HELLO]) -> Result<(), String> {
        let (magic, rest) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err("something that does not speak twinspan".to_owned());
        }
        let (words, _) = rest.as_chunks::<4>();
        let [version, from, to, world] = [0, 1, 2, 3].map(|index| u32::from_le_bytes(words[index]));
        if version != VERSION {
            return Err(format!(
                "protocol version {version}, this build speaks {VERSION}"
            ));
        }
        let (longs, _) = bytes[24..].as_chunks::<8>();
        let got = Self {
            from: Rank(from),
            to: Rank(to),
            world_size: WorldSize(world),
            generation: Generation(u64::from_le_bytes(longs[0])),
            token: Nonce(u64::from_le_bytes(longs[1])),
        };
        if got == *self {
            return Ok(());
        }
        // The token's values stay out of messages: they end up in logs, and it is what keeps
        // strangers out.
        let token = match got.token == self.token {
            true => "the same token",
            false => "another token",
        };
        Err(format!(
            "{} with {token}, expected {}",
            got.describe(),
            self.describe()
        ))
    }

    fn describe(&self) -> String {
        let Self {
            from,
            to,
            world_size,
            generation,
            ..
        } = self;
        format!("generation {generation}, rank {from} for rank {to} of {world_size}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_hello_is_checked() {
        let hello = Hello {
            from: Rank(1),
            to: Rank(2),
            world_size: WorldSize(3),
            generation: Generation(4),
            token: Nonce(5),
        };
        assert_eq!(hello.check(&hello.encode()), Ok(()));
        for byte in [0, 8, 12, 16, 20, 24, 31, 32, 39] {
            let mut other = hello.encode();
            other[byte] ^= 0x40;
            assert!(hello.check(&other).is_err(), "byte {byte}");
        }
        let stale = Hello {
            generation: Generation(3),
            ..hello
        }
        .encode();
        let message = hello.check(&stale).err().unwrap_or_default();
        assert!(
            message.contains("generation 3") && message.contains("generation 4"),
            "{message}"
        );
    }
}
