//! Worlds, cursors and directives.

use super::{ConvertError, all, required, try_all};
use crate::v1;
use twinspan_types::{
    CheckpointOrder, Cursor, Directive, Epoch, Generation, LaneTable, Member, Nonce, Rank, Stamp,
    Step, Term, WorkerId, World,
};

impl From<Cursor> for v1::Cursor {
    fn from(cursor: Cursor) -> Self {
        Self {
            epoch: cursor.epoch.0,
            passed: cursor.passed,
        }
    }
}

impl From<v1::Cursor> for Cursor {
    fn from(wire: v1::Cursor) -> Self {
        Self {
            epoch: Epoch(wire.epoch),
            passed: wire.passed,
        }
    }
}

impl From<Stamp> for v1::Stamp {
    fn from(stamp: Stamp) -> Self {
        Self {
            generation: stamp.generation.0,
            step: stamp.step.0,
        }
    }
}

impl From<v1::Stamp> for Stamp {
    fn from(wire: v1::Stamp) -> Self {
        Self {
            generation: Generation(wire.generation),
            step: Step(wire.step),
        }
    }
}

impl From<Directive> for v1::Directive {
    fn from(directive: Directive) -> Self {
        Self {
            term: directive.term.0,
            sequence: directive.sequence,
            at_step: directive.at_step.0,
            checkpoint_attempt: directive.checkpoint.map(|order| order.attempt.0),
            checkpoint_timed: directive.checkpoint.is_some_and(|order| order.timed),
            reform: directive.reform,
            stop: directive.stop,
        }
    }
}

impl From<v1::Directive> for Directive {
    fn from(wire: v1::Directive) -> Self {
        let order = |attempt| CheckpointOrder {
            attempt: Nonce(attempt),
            timed: wire.checkpoint_timed,
        };
        Self {
            term: Term(wire.term),
            sequence: wire.sequence,
            at_step: Step(wire.at_step),
            checkpoint: wire.checkpoint_attempt.map(order),
            reform: wire.reform,
            stop: wire.stop,
        }
    }
}

impl From<Member> for v1::Member {
    fn from(member: Member) -> Self {
        Self {
            worker: member.worker.0,
            address: member.address,
        }
    }
}

impl From<v1::Member> for Member {
    fn from(wire: v1::Member) -> Self {
        Self {
            worker: WorkerId(wire.worker),
            address: wire.address,
        }
    }
}

impl From<World> for v1::World {
    fn from(world: World) -> Self {
        Self {
            term: world.term.0,
            generation: world.generation.0,
            members: all(world.members),
            lane_ranks: world.lanes.ranks().iter().map(|rank| rank.0).collect(),
            start: world.start.0,
            source: world.source.map(|rank| rank.0),
            restore: world.restore,
            passed_over: world.passed_over.iter().map(|step| step.0).collect(),
            token: world.token.0,
            directive: Some(world.directive.into()),
            quarantines: all(world.quarantines),
        }
    }
}

impl TryFrom<v1::World> for World {
    type Error = ConvertError;

    fn try_from(wire: v1::World) -> Result<Self, ConvertError> {
        Ok(Self {
            term: Term(wire.term),
            generation: Generation(wire.generation),
            members: all(wire.members),
            lanes: LaneTable::new(wire.lane_ranks.into_iter().map(Rank).collect()),
            start: Step(wire.start),
            source: wire.source.map(Rank),
            restore: wire.restore,
            passed_over: wire.passed_over.into_iter().map(Step).collect(),
            token: Nonce(wire.token),
            directive: required(wire.directive, "World.directive")?.into(),
            quarantines: try_all(wire.quarantines)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{Quarantine, ShardId, StreamId, WorldSize};

    fn world() -> World {
        let member = |n: u32| Member {
            worker: WorkerId(format!("w{n}")),
            address: format!("h:{n}"),
        };
        World {
            term: Term(3),
            generation: Generation(7),
            members: (0..3).map(member).collect(),
            lanes: LaneTable::deal(12, 2, WorldSize(3)),
            start: Step(40),
            source: Some(Rank(2)),
            restore: Some("checkpoints/step-00000040-1".to_owned()),
            passed_over: vec![Step(44), Step(45)],
            quarantines: vec![Quarantine {
                shard: ShardId(4),
                url: "s3://b/4.tar".to_owned(),
                samples: 9,
                reason: "gone".to_owned(),
                from: vec![(StreamId(3), Cursor::default())],
            }],
            token: Nonce(u64::MAX),
            directive: Directive {
                term: Term(3),
                sequence: 2,
                at_step: Step(60),
                checkpoint: Some(CheckpointOrder {
                    attempt: Nonce(5),
                    timed: true,
                }),
                reform: true,
                stop: true,
            },
        }
    }

    #[test]
    fn a_world_survives_the_wire() {
        assert_eq!(World::try_from(v1::World::from(world())), Ok(world()));
    }

    #[test]
    fn a_world_without_a_directive_names_the_field() {
        let wire = v1::World {
            directive: None,
            ..world().into()
        };
        let error = World::try_from(wire).expect_err("must not convert");
        assert_eq!(error.to_string(), "World.directive is missing");
    }
}
