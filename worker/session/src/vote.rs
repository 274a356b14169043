//! The step vote: what every rank says at a step's end, and what follows from it.

use prost::Message;
use twinspan_proto::v1;
use twinspan_types::{Cursor, Directive, Rank, Skip, StreamId};

/// What one rank says.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// Whether its loss and summed gradient are finite.
    pub finite: bool,
    /// The highest directive that it has seen.
    pub directive: Directive,
    /// Where its lanes' streams stand after the step.
    pub ends: Vec<(StreamId, Cursor)>,
    /// Sum of the hashes of its samples' keys.
    pub sample_hash: u64,
    /// Samples that it passed over.
    pub skips: Vec<Skip>,
    /// Hash of its state before the step, where ranks compare.
    pub state_hash: Option<u64>,
    /// Its part of the evaluation that is under way, said once when it is done; else empty.
    pub evaluation: Vec<u8>,
    /// Whether the step has taken it much longer than those before.
    pub slow: bool,
}

/// What all ranks conclude, the same on each.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Whether every rank's numbers are finite.
    pub finite: bool,
    /// The highest directive that any rank has seen.
    pub directive: Directive,
    /// Every stream's position after the step, by stream.
    pub cursors: Vec<Cursor>,
    /// Hash of the keys of all samples of the global batch.
    pub sample_hash: u64,
    /// Samples that the ranks passed over, rank by rank.
    pub skips: Vec<Skip>,
    /// The ranks whose state is not the majority's; all of them where there is no majority.
    pub diverged: Vec<Rank>,
    /// What each rank said of the evaluation that is under way, by rank; empty for nothing.
    pub evaluation: Vec<Vec<u8>>,
    /// Whether the step has taken any rank much longer than those before.
    pub slow: bool,
}

/// Votes that do not fit together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Bytes that are no vote.
    #[error("a peer's vote cannot be read: {0}; use the same build on all ranks")]
    Unreadable(String),
    /// A stream that nobody, or more than one rank, reported.
    #[error("stream {stream} was read by {owners} ranks in one step; it must be exactly one")]
    Stream {
        /// The stream.
        stream: StreamId,
        /// How many ranks reported it.
        owners: usize,
    },
}

impl Vote {
    /// The vote as bytes for the data plane.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let ends = self.ends.iter().copied().map(Into::into);
        v1::Vote {
            finite: self.finite,
            directive: Some(self.directive.into()),
            ends: ends.collect(),
            sample_hash: self.sample_hash,
            skips: self.skips.iter().cloned().map(Into::into).collect(),
            state_hash: self.state_hash,
            evaluation: self.evaluation.clone(),
            slow: self.slow,
        }
        .encode_to_vec()
    }

    /// Reads a vote.
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, VoteError> {
        let unreadable = |what: &str| VoteError::Unreadable(what.to_owned());
        let wire = v1::Vote::decode(bytes).map_err(|error| unreadable(&error.to_string()))?;
        let directive = wire.directive.ok_or_else(|| unreadable("no directive"))?;
        let ends = wire.ends.into_iter().map(|end| {
            let end = <(StreamId, Cursor)>::try_from(end);
            end.map_err(|error| unreadable(&error.to_string()))
        });
        let skips = wire.skips.into_iter().map(|skip| {
            let skip = Skip::try_from(skip);
            skip.map_err(|error| unreadable(&error.to_string()))
        });
        Ok(Self {
            finite: wire.finite,
            directive: directive.into(),
            ends: ends.collect::<Result<_, VoteError>>()?,
            sample_hash: wire.sample_hash,
            skips: skips.collect::<Result<_, VoteError>>()?,
            state_hash: wire.state_hash,
            evaluation: wire.evaluation,
            slow: wire.slow,
        })
    }
}

impl Tally {
    /// Counts all ranks' votes over `streams` streams.
    ///
    /// # Errors
    /// When a stream was not reported by exactly one rank.
    pub fn count(votes: &[Vote], streams: u32) -> Result<Self, VoteError> {
        let mut cursors = vec![Cursor::default(); streams as usize];
        let mut owners = vec![0_usize; streams as usize];
        for (stream, end) in votes.iter().flat_map(|vote| &vote.ends) {
            let Some(owner_count) = owners.get_mut(stream.index()) else {
                return Err(VoteError::Stream {
                    stream: *stream,
                    owners: 0,
                });
            };
            *owner_count += 1;
            cursors[stream.index()] = *end;
        }
        for (stream, owners) in (0..).map(StreamId).zip(owners) {
            if owners != 1 {
                return Err(VoteError::Stream { stream, owners });
            }
        }
        let directives = votes.iter().map(|vote| vote.directive);
        let highest = directives.max_by_key(Directive::precedence);
        let directive = highest.ok_or_else(|| VoteError::Unreadable("no votes".to_owned()))?;
        Ok(Self {
            finite: votes.iter().all(|vote| vote.finite),
            directive,
            cursors,
            sample_hash: votes
                .iter()
                .fold(0, |sum, vote| sum.wrapping_add(vote.sample_hash)),
            skips: votes.iter().flat_map(|vote| vote.skips.clone()).collect(),
            diverged: diverged(votes),
            evaluation: votes.iter().map(|vote| vote.evaluation.clone()).collect(),
            slow: votes.iter().any(|vote| vote.slow),
        })
    }
}

/// The ranks, by their votes' places, that are not of the majority.
fn diverged(votes: &[Vote]) -> Vec<Rank> {
    let hashes = || votes.iter().map(|vote| vote.state_hash);
    let count = |hash| hashes().filter(|other| *other == hash).count();
    let majority = hashes().find(|hash| count(*hash) * 2 > votes.len());
    let ranks = (0..).map(Rank).zip(hashes());
    let differs = ranks.filter(|(_, hash)| majority != Some(*hash));
    differs.map(|(rank, _)| rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{CheckpointOrder, Epoch, LaneId, Nonce, SkipReason, Step, Term};

    fn vote(streams: &[u32], sequence: u64, finite: bool) -> Vote {
        let end = Cursor {
            epoch: Epoch(2),
            passed: 7,
        };
        Vote {
            finite,
            directive: Directive {
                term: Term(3),
                sequence,
                at_step: Step(9),
                checkpoint: Some(CheckpointOrder {
                    attempt: Nonce(5),
                    timed: false,
                }),
                reform: false,
                stop: true,
            },
            ends: streams.iter().map(|id| (StreamId(*id), end)).collect(),
            sample_hash: u64::MAX - 1,
            skips: vec![Skip {
                step: Step(9),
                lane: LaneId(streams[0]),
                epoch: Epoch(2),
                shard: "s.tar".to_owned(),
                key: "k".to_owned(),
                reason: SkipReason::CorruptImage,
                detail: "bad marker".to_owned(),
            }],
            state_hash: Some(8),
            evaluation: vec![streams.len() as u8],
            slow: false,
        }
    }

    #[test]
    fn who_differs_from_the_majority_is_named_and_without_one_everybody() {
        let votes = |hashes: &[u64]| {
            let one = |hash: &u64| Vote {
                state_hash: Some(*hash),
                ..vote(&[0], 1, true)
            };
            diverged(&hashes.iter().map(one).collect::<Vec<_>>())
        };
        assert!(votes(&[5]).is_empty() && votes(&[5, 5, 5]).is_empty());
        assert_eq!(votes(&[5, 6, 5]), [Rank(1)]);
        assert_eq!(votes(&[5, 6]), [Rank(0), Rank(1)]);
        assert_eq!(votes(&[5, 5, 6, 6]).len(), 4);
    }

    #[test]
    fn a_vote_survives_the_wire() {
        let vote = vote(&[0, 3], 4, true);
        assert_eq!(Vote::decode(&vote.encode()), Ok(vote));
    }

    #[test]
    fn the_highest_directive_and_one_bad_rank_decide_for_all() {
        let votes = [vote(&[0, 1], 4, true), vote(&[2], 6, false)];
        let tally = Tally::count(&votes, 3).expect("fits");
        assert_eq!((tally.finite, tally.directive.sequence), (false, 6));
        assert_eq!(tally.sample_hash, u64::MAX - 3);
        assert_eq!(tally.skips.len(), 2);
        assert_eq!(tally.evaluation, [[2], [1]], "by rank");
    }

    #[test]
    fn a_stream_with_two_owners_or_none_is_an_error() {
        let error = |votes: &[Vote]| Tally::count(votes, 3).expect_err("must not fit");
        let (twice, none) = (StreamId(1), StreamId(2));
        assert_eq!(
            error(&[vote(&[0, 1], 1, true), vote(&[1, 2], 1, true)]),
            VoteError::Stream {
                stream: twice,
                owners: 2
            }
        );
        assert_eq!(
            error(&[vote(&[0, 1], 1, true)]),
            VoteError::Stream {
                stream: none,
                owners: 0
            }
        );
    }
}
