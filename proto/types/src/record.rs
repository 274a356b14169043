//! Durable facts: what the coordinator's log holds, one record a file, written put-if-absent.

use crate::{
    CheckpointName, Generation, LaneTable, Member, Nonce, Quarantine, Step, Term, WorkerId,
};
use serde::{Deserialize, Serialize};

/// `log/00000042.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    /// The term of the coordinator that wrote it.
    pub term: Term,
    /// Tells the writer's own record from another's when the outcome of a write is unknown.
    pub nonce: Nonce,
    /// What became true.
    pub fact: Fact,
}

/// What a record makes true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// A coordinator became the owner of the run.
    TermOpened {
        /// `host:port` where it can be reached.
        address: String,
    },
    /// A generation starts; what earlier generations reported from `start` on is void.
    WorldFormed {
        /// Its number.
        generation: Generation,
        /// Its ranks.
        members: Vec<Member>,
        /// Which rank reads which lane.
        lanes: LaneTable,
        /// The last committed step that it starts from.
        start: Step,
    },
    /// A checkpoint's manifest is in the store: the checkpoint exists.
    CheckpointCommitted {
        /// Which one.
        name: CheckpointName,
        /// The generation that wrote it.
        generation: Generation,
    },
    /// A checkpoint is about to be removed by retention.
    CheckpointRetired {
        /// Which one.
        name: CheckpointName,
    },
    /// A checkpoint's files are not what its manifest says: it is in force no more.
    CheckpointDamaged {
        /// Which one.
        name: CheckpointName,
        /// What is wrong with which file.
        what: String,
    },
    /// The run goes back to its newest checkpoint, and from there passes over steps that led to
    /// numbers that were not finite.
    RolledBack {
        /// The generation that met them.
        generation: Generation,
        /// The steps.
        steps: Vec<Step>,
    },
    /// Ranks' states after a step were not equal.
    StatesDiverged {
        /// The generation.
        generation: Generation,
        /// The step.
        step: Step,
        /// The workers whose state was not the majority's; all where there was no majority.
        workers: Vec<WorkerId>,
    },
    /// A shard cannot be read and is passed over from now on.
    ShardQuarantined(Quarantine),
    /// The run reached its last step.
    RunEnded {
        /// That step.
        step: Step,
    },
}
