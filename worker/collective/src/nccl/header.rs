//! What every rank says at the beginning of a collective over host memory. NCCL itself does not
//! notice ranks that call different operations: it stands still, or mixes up their numbers.

use crate::layout::Call;
use crate::{CollectiveError, Operation};
use twinspan_types::Rank;

/// Bytes of a header: operation u64, sequence u64, total u64, root u64, length u64.
pub(super) const HEADER: usize = 40;

/// A rank's call, and the bytes of its own part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub call: Call,
    pub length: u64,
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER] {
        let Call {
            operation,
            sequence,
            total,
            root,
        } = self.call;
        let words = [
            u64::from(operation as u8),
            sequence,
            total,
            u64::from(root.0),
            self.length,
        ];
        let mut bytes = [0; HEADER];
        bytes
            .as_chunks_mut::<8>()
            .0
            .iter_mut()
            .zip(words)
            .for_each(|(bytes, word)| *bytes = word.to_le_bytes());
        bytes
    }

    /// The inverse of [`Header::encode`]; none for what is no header.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let [operation, sequence, total, root, length] = *words else {
            return None;
        };
        let [operation, sequence, total, root, length] =
            [operation, sequence, total, root, length].map(u64::from_le_bytes);
        Some(Self {
            call: Call {
                operation: Operation::from_wire(u8::try_from(operation).ok()?)?,
                sequence,
                total,
                root: Rank(u32::try_from(root).ok()?),
            },
            length,
        })
    }

    /// All ranks' headers, one behind the other, when they are of one call.
    pub fn agree(&self, rank: Rank, all: &[u8]) -> Result<Vec<Self>, CollectiveError> {
        let read = |(other, bytes): (usize, &[u8])| {
            let header = Self::decode(bytes);
            match header.filter(|header| header.call == self.call) {
                Some(header) => Ok(header),
                None => {
                    let theirs = header.map_or("something else".to_owned(), |header| {
                        header.call.to_string()
                    });
                    let detail = format!(
                        "rank {rank} calls {}, rank {other} calls {theirs}",
                        self.call
                    );
                    Err(CollectiveError::Protocol { detail })
                }
            }
        };
        all.chunks(HEADER).enumerate().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(operation: Operation, total: usize) -> Header {
        Header {
            call: Call {
                root: Rank(3),
                ..Call::new(operation, 7, total)
            },
            length: 12,
        }
    }

    #[test]
    fn a_header_survives_the_wire() {
        let header = header(Operation::Broadcast, 5);
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(&[0; HEADER]), None);
        assert_eq!(Header::decode(&[1; 3]), None);
    }

    #[test]
    fn ranks_that_differ_are_named_with_what_they_call() {
        let mine = header(Operation::AllReduceSum, 4);
        let theirs = header(Operation::AllReduceSum, 8);
        let all = [mine.encode(), theirs.encode()].concat();
        let error = mine.agree(Rank(0), &all).map(drop);
        let text = error.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(
            text.contains("rank 1 calls") && text.contains("8 bytes"),
            "{text}"
        );
    }
}
