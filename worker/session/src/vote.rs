//! The step vote: what every rank says at a step's end, and what follows from it.

use prost::Message;
use twinspan_proto::v1;
use twinspan_types::{Cursor, Directive, LaneId};

/// What one rank says.
#[derive(Debug, Clone, PartialEq)]
pub struct Vote {
    /// Whether its loss and summed gradient are finite.
    pub finite: bool,
    /// The highest directive that it has seen.
    pub directive: Directive,
    /// Where its lanes stand after the step.
    pub lane_ends: Vec<(LaneId, Cursor)>,
    /// Sum of the hashes of its samples' keys.
    pub sample_hash: u64,
}

/// What all ranks conclude, the same on each.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Whether every rank's numbers are finite.
    pub finite: bool,
    /// The highest directive that any rank has seen.
    pub directive: Directive,
    /// Every lane's position after the step, by lane.
    pub cursors: Vec<Cursor>,
    /// Hash of the keys of all samples of the global batch.
    pub sample_hash: u64,
}

/// Votes that do not fit together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Bytes that are no vote.
    #[error("a peer's vote cannot be read: {0}; use the same build on all ranks")]
    Unreadable(String),
    /// A lane that nobody, or more than one rank, reported.
    #[error("lane {lane} was read by {owners} ranks in one step; it must be exactly one")]
    Lane {
        /// The lane.
        lane: LaneId,
        /// How many ranks reported it.
        owners: usize,
    },
}

impl Vote {
    /// The vote as bytes for the data plane.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let lane_ends = self.lane_ends.iter().map(|(lane, end)| v1::LaneEnd {
            lane: lane.0,
            end: Some((*end).into()),
        });
        v1::Vote {
            finite: self.finite,
            directive: Some(self.directive.into()),
            lane_ends: lane_ends.collect(),
            sample_hash: self.sample_hash,
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
        let lane_ends = wire.lane_ends.into_iter().map(|lane_end| {
            let end = lane_end
                .end
                .ok_or_else(|| unreadable("a lane without its end"))?;
            Ok((LaneId(lane_end.lane), end.into()))
        });
        Ok(Self {
            finite: wire.finite,
            directive: directive.into(),
            lane_ends: lane_ends.collect::<Result<_, VoteError>>()?,
            sample_hash: wire.sample_hash,
        })
    }
}

impl Tally {
    /// Counts all ranks' votes over `lanes` lanes.
    ///
    /// # Errors
    /// When a lane was not reported by exactly one rank.
    pub fn count(votes: &[Vote], lanes: u32) -> Result<Self, VoteError> {
        let mut cursors = vec![Cursor::default(); lanes as usize];
        let mut owners = vec![0_usize; lanes as usize];
        for (lane, end) in votes.iter().flat_map(|vote| &vote.lane_ends) {
            let Some(owner_count) = owners.get_mut(lane.index()) else {
                return Err(VoteError::Lane {
                    lane: *lane,
                    owners: 0,
                });
            };
            *owner_count += 1;
            cursors[lane.index()] = *end;
        }
        for (lane, owners) in (0..).map(LaneId).zip(owners) {
            if owners != 1 {
                return Err(VoteError::Lane { lane, owners });
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
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{CheckpointOrder, Epoch, Nonce, Step, Term};

    fn vote(lanes: &[u32], sequence: u64, finite: bool) -> Vote {
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
                checkpoint: Some(CheckpointOrder { attempt: Nonce(5) }),
                stop: true,
            },
            lane_ends: lanes.iter().map(|lane| (LaneId(*lane), end)).collect(),
            sample_hash: u64::MAX - 1,
        }
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
    }

    #[test]
    fn a_lane_with_two_owners_or_none_is_an_error() {
        let error = |votes: &[Vote]| Tally::count(votes, 3).expect_err("must not fit");
        let (twice, none) = (LaneId(1), LaneId(2));
        assert_eq!(
            error(&[vote(&[0, 1], 1, true), vote(&[1, 2], 1, true)]),
            VoteError::Lane {
                lane: twice,
                owners: 2
            }
        );
        assert_eq!(
            error(&[vote(&[0, 1], 1, true)]),
            VoteError::Lane {
                lane: none,
                owners: 0
            }
        );
    }
}
