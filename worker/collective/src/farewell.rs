//! What a rank that leaves tells its neighbours, so that a failure keeps its origin on its way
//! round the world and nobody blames a messenger.

use crate::CollectiveError;
use std::io;
use twinspan_types::Rank;

/// Texts are cut to this many bytes.
const MAX_TEXT: usize = 512;
/// Kind and subject before the text.
const FIXED: usize = 5;

/// The last word of a rank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// The last collective that the rank completed: what it says concerns later ones only.
    pub completed: u64,
    /// What happened.
    pub cause: Cause,
    /// The origin's message.
    pub text: String,
}

/// What made a rank leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// This rank is gone without a word.
    Lost(Rank),
    /// This rank left of its own accord.
    Left(Rank),
    /// The ranks disagree.
    Protocol,
}

impl Farewell {
    /// The longest body on the wire.
    pub const MAX_BODY: usize = FIXED + MAX_TEXT;

    /// What `rank` says when `error` ends its part after `completed` collectives.
    pub fn of(error: &CollectiveError, rank: Rank, completed: u64) -> Self {
        let (cause, text) = match error {
            CollectiveError::PeerLost { peer, source } => (Cause::Lost(*peer), source.to_string()),
            CollectiveError::Connect { peer, .. } => (Cause::Lost(*peer), error.to_string()),
            CollectiveError::PeerLeft { peer, reason } => (Cause::Left(*peer), reason.clone()),
            CollectiveError::Protocol { detail } => (Cause::Protocol, detail.clone()),
            CollectiveError::Timeout { .. }
            | CollectiveError::Aborted { .. }
            | CollectiveError::Poisoned { .. }
            | CollectiveError::Local { .. } => (Cause::Left(rank), error.to_string()),
        };
        Self {
            completed,
            cause,
            text,
        }
    }

    /// What `rank` says when it is done with the generation after `completed` collectives.
    pub fn finished(rank: Rank, completed: u64) -> Self {
        let text = format!("it was done after collective {completed}");
        Self {
            completed,
            cause: Cause::Left(rank),
            text,
        }
    }

    /// The error that it is for whoever hears it.
    pub fn into_error(self) -> CollectiveError {
        match self.cause {
            Cause::Lost(peer) => CollectiveError::PeerLost {
                peer,
                source: io::Error::other(self.text),
            },
            Cause::Left(peer) => CollectiveError::PeerLeft {
                peer,
                reason: self.text,
            },
            Cause::Protocol => CollectiveError::Protocol { detail: self.text },
        }
    }

    /// The body on the wire: kind u8, subject u32, text.
    pub fn encode_body(&self) -> Vec<u8> {
        let (kind, subject) = match self.cause {
            Cause::Lost(rank) => (1, rank.0),
            Cause::Left(rank) => (2, rank.0),
            Cause::Protocol => (3, 0),
        };
        let text = &self.text.as_bytes()[..self.text.floor_char_boundary(MAX_TEXT)];
        let mut body = vec![kind];
        body.extend(u32::to_le_bytes(subject));
        body.extend(text);
        body
    }

    /// The inverse of [`Farewell::encode_body`]; none for what is no farewell.
    pub fn decode(completed: u64, body: &[u8]) -> Option<Self> {
        let (fixed, text) = body.split_first_chunk::<FIXED>()?;
        let [kind, subject @ ..] = *fixed;
        let subject = Rank(u32::from_le_bytes(subject));
        let cause = match kind {
            1 => Cause::Lost(subject),
            2 => Cause::Left(subject),
            3 => Cause::Protocol,
            _ => return None,
        };
        Some(Self {
            completed,
            cause,
            text: String::from_utf8_lossy(text).into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_survives_the_wire_and_long_texts_are_cut_at_a_character() {
        for cause in [Cause::Lost(Rank(3)), Cause::Left(Rank(0)), Cause::Protocol] {
            let farewell = Farewell {
                completed: 9,
                cause,
                text: "ein Grund".to_owned(),
            };
            assert_eq!(Farewell::decode(9, &farewell.encode_body()), Some(farewell));
        }
        let long = Farewell {
            completed: 0,
            cause: Cause::Protocol,
            text: "ä".repeat(1000),
        };
        let body = long.encode_body();
        assert!(body.len() <= Farewell::MAX_BODY);
        let read = Farewell::decode(0, &body).map(|farewell| farewell.text);
        assert_eq!(read, Some("ä".repeat(MAX_TEXT / 2)));
        assert_eq!(Farewell::decode(0, &[9, 0, 0, 0, 0]), None);
        assert_eq!(Farewell::decode(0, &[1, 0]), None);
    }
}
