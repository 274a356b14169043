//! What stands before every payload on the wire.

use crate::Operation;
use crate::layout::Call;
use std::fmt;
use twinspan_types::Rank;

/// Bytes of a header: operation u8, marker, round u32, root u32, sequence u64, total u64,
/// length u64, all little-endian.
pub(super) const HEADER: usize = 36;
/// Tells a frame from stray bytes.
const MARKER: [u8; 3] = *b"tws";
/// The operation number of a farewell.
const FAREWELL: u8 = 255;

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// A piece of a collective.
    Data {
        call: Call,
        /// Which of the collective's frames on this link.
        round: u32,
        /// Bytes of payload.
        length: u64,
    },
    /// The last word of a rank, that completed so many collectives.
    Farewell { completed: u64, length: u64 },
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER] {
        let (operation, round, root, sequence, total, length) = match *self {
            Self::Data {
                call,
                round,
                length,
            } => (
                call.operation as u8,
                round,
                call.root.0,
                call.sequence,
                call.total,
                length,
            ),
            Self::Farewell { completed, length } => (FAREWELL, 0, 0, completed, 0, length),
        };
        let mut bytes = [0; HEADER];
        bytes[0] = operation;
        bytes[1..4].copy_from_slice(&MARKER);
        bytes[4..8].copy_from_slice(&round.to_le_bytes());
        bytes[8..12].copy_from_slice(&root.to_le_bytes());
        bytes[12..20].copy_from_slice(&sequence.to_le_bytes());
        bytes[20..28].copy_from_slice(&total.to_le_bytes());
        bytes[28..36].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    /// None for bytes that are no header.
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Self> {
        let (head, numbers) = bytes.split_at(12);
        let (numbers, _) = numbers.as_chunks::<8>();
        let [sequence, total, length] = [0, 1, 2].map(|index| u64::from_le_bytes(numbers[index]));
        let (head, _) = head.as_chunks::<4>();
        let [operation, marker @ ..] = head[0];
        let (round, root) = (
            u32::from_le_bytes(head[1]),
            Rank(u32::from_le_bytes(head[2])),
        );
        if marker != MARKER {
            None
        } else if operation == FAREWELL {
            Some(Self::Farewell {
                completed: sequence,
                length,
            })
        } else {
            let operation = Operation::from_wire(operation)?;
            let call = Call {
                operation,
                sequence,
                total,
                root,
            };
            Some(Self::Data {
                call,
                round,
                length,
            })
        }
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data {
                call,
                round,
                length,
            } => {
                write!(f, "{call}, round {round} with {length} bytes")
            }
            Self::Farewell { completed, .. } => {
                write!(f, "a farewell after collective {completed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire_and_stray_bytes_are_none() {
        let call = Call {
            root: Rank(3),
            ..Call::new(Operation::Broadcast, 1 << 40, 7)
        };
        for header in [
            Header::Data {
                call,
                round: 2,
                length: u64::MAX,
            },
            Header::Farewell {
                completed: 5,
                length: 6,
            },
        ] {
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes), Some(header));
            let mut unknown = bytes;
            unknown[0] = 77;
            assert_eq!(Header::decode(&unknown), None);
        }
        assert_eq!(
            Header::decode(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r"),
            None
        );
    }
}
