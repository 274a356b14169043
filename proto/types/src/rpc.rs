//! What workers ask the coordinator, and what it answers, free of any wire format.

use crate::{
    Cursor, Directive, Evaluation, Generation, Nonce, Part, Phase, Rank, RankTrace, SessionSecret,
    Stamp, Step, StepMetrics, StepReport, Straggler, Term, Vitals, WorkerId, World, WorldSize,
};
use std::fmt;
use std::time::Duration;

/// Who speaks, and in which lifetime. Every message of a joined worker carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The worker's name.
    pub worker: WorkerId,
    /// What join returned to it.
    pub secret: SessionSecret,
    /// The term that it joined in.
    pub term: Term,
    /// The generation that it is in; 0 before the first.
    pub generation: Generation,
}

/// A worker asks to take part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Tells a repeated request from another worker's.
    pub nonce: Nonce,
    /// What binary it is, and what it computes on.
    pub build: String,
    /// What it computes on, in words.
    pub device: String,
    /// `host:port` of its data plane.
    pub address: String,
    /// Its machine's name.
    pub host: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// What it was before this coordinator, or this membership.
    pub claim: Option<Claim>,
}

/// A worker's place by the word of an earlier term, or of a membership that it has lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The name that it had.
    pub worker: WorkerId,
    /// The generation that it is in; 0 for none.
    pub generation: Generation,
}

/// A worker takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its name.
    pub worker: WorkerId,
    /// What its messages must carry.
    pub secret: SessionSecret,
    /// The coordinator's term.
    pub term: Term,
    /// Whether the generation of its claim goes on, with the worker in it under its old name.
    pub adopted: bool,
}

/// A worker that is in no generation, or has left one, asks for the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Who speaks; its generation is the one that it has left, 0 for none.
    pub fence: Fence,
    /// What its state is.
    pub stamp: Stamp,
    /// Why that generation ended for it, where nobody told it to leave.
    pub fault: Option<GenerationFault>,
}

/// Why a rank could not go on in its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GenerationFault {
    /// A collective failed for want of this rank.
    Lost(Rank),
    /// The ranks' states after a step are not equal.
    Diverged {
        /// That step.
        step: Step,
        /// The ranks whose state is not the majority's; all of them where there is no majority.
        ranks: Vec<Rank>,
    },
    /// Loss or gradients were not finite in these steps, one after the other.
    NotFinite {
        /// The steps.
        steps: Vec<Step>,
    },
    /// The checkpoint that the generation starts from cannot be used.
    DamagedCheckpoint {
        /// What is wrong with which file.
        what: String,
    },
}

/// The answer to a worker that asks for its world.
#[derive(Debug, Clone, PartialEq)]
pub enum WorldState {
    /// Not formed yet.
    Pending {
        /// Workers that have joined.
        joined: WorldSize,
        /// Workers that are wanted.
        wanted: WorldSize,
    },
    /// Formed, with this worker in it.
    Formed(World),
    /// The run is over.
    Ended(Ended),
}

/// The end of a run, as told to its workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether it failed.
    pub failed: bool,
    /// Why.
    pub reason: String,
}

/// A heartbeat with what the rank has to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Who speaks.
    pub fence: Fence,
    /// Where in a step it is.
    pub phase: Phase,
    /// The last step that it committed.
    pub step: Step,
    /// The collective that it is in.
    pub collective_sequence: u64,
    /// Rises with any progress.
    pub progress: u64,
    /// Whether it was told to go, and leaves at the next boundary.
    pub draining: bool,
    /// Committed steps, repeated until acknowledged.
    pub steps: Vec<StepReport>,
    /// Finished evaluations in the order of their steps, repeated until acknowledged.
    pub evaluations: Vec<Evaluation>,
    /// How it spent the steps since the last report. One that gets lost is not told again.
    pub traces: Vec<RankTrace>,
    /// What its process uses.
    pub vitals: Vitals,
}

/// The answer to a [`Report`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportReply {
    /// Every step up to this one is in the run's files.
    pub acknowledged_step: Step,
    /// Every step up to this one has been taken note of, and need not be sent again to this
    /// coordinator.
    pub received_step: Step,
    /// Every evaluation up to this step's is in the run's files.
    pub acknowledged_evaluation: Step,
    /// Whether the speaker's generation is over for it: it is to leave it and ask for the next.
    pub superseded: bool,
    /// The order in force, once there is a world.
    pub directive: Option<Directive>,
    /// Set when the run is over.
    pub ended: Option<Ended>,
}

/// Files of a checkpoint that a rank has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsStored {
    /// Who speaks.
    pub fence: Fence,
    /// The step that they hold.
    pub step: Step,
    /// The attempt that they belong to.
    pub attempt: Nonce,
    /// Whether all ranks leave the run after it.
    pub stop: bool,
    /// The files.
    pub parts: Vec<Part>,
    /// Every stream's position at the step, by stream.
    pub cursors: Vec<Cursor>,
}

/// A worker goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leave {
    /// Who speaks.
    pub fence: Fence,
    /// Why.
    pub outcome: LeaveOutcome,
}

/// How a worker goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaveOutcome {
    /// As it was told to.
    Done,
    /// It cannot go on.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What the coordinator sees.
#[derive(Debug, Clone, PartialEq)]
pub struct RunStatus {
    /// The run's name.
    pub run: String,
    /// Where it stands.
    pub state: RunState,
    /// Words for that: who is waited for, why it failed.
    pub message: String,
    /// The coordinator's term.
    pub term: Term,
    /// The generation; 0 before the first.
    pub generation: Generation,
    /// The last step that was committed.
    pub step: Step,
    /// Steps of the whole run.
    pub total_steps: Step,
    /// That step's metrics.
    pub metrics: Option<StepMetrics>,
    /// Samples of one step.
    pub global_batch: u64,
    /// Samples passed over in this term.
    pub skipped: u64,
    /// The newest committed checkpoint's directory, relative to the run.
    pub checkpoint: Option<String>,
    /// The ranks, or before a world the workers in the order of joining.
    pub ranks: Vec<RankStatus>,
    /// Since the first step of the generation was reported.
    pub training_time: Duration,
    /// The step that the generation started from.
    pub start: Step,
    /// The newest evaluation of this term.
    pub evaluation: Option<Evaluation>,
    /// The rank that the others wait for, where there is one.
    pub straggler: Option<Straggler>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunState {
    /// Fewer workers than wanted.
    WaitingForWorkers,
    /// Stepping.
    Training,
    /// Told to checkpoint and leave.
    Stopping,
    /// Stopped before its last step; it can be continued.
    Stopped,
    /// At its last step.
    Ended,
    /// It cannot go on.
    Failed,
}

/// One rank as the coordinator sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct RankStatus {
    /// Its number.
    pub rank: Rank,
    /// The worker that holds it.
    pub worker: WorkerId,
    /// That worker's machine.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// `host:port` of its data plane.
    pub address: String,
    /// Where in a step it was at its last heartbeat.
    pub phase: Phase,
    /// The last step that it committed.
    pub step: Step,
    /// Since its last heartbeat.
    pub heartbeat_age: Duration,
    /// Since it was last given the right to read its lanes further; none before the first time.
    pub lease_age: Option<Duration>,
    /// What it computes on, in words.
    pub device: String,
    /// What its process uses.
    pub vitals: Vitals,
    /// Whether it was told to go, and leaves at the next boundary.
    pub draining: bool,
}

/// A term and a generation within the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime {
    /// The coordinator's term.
    pub term: Term,
    /// The generation.
    pub generation: Generation,
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "term {}, generation {}", self.term, self.generation)
    }
}

/// Why the coordinator refuses a request: one variant for each reaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The speaker never joined, or not with this secret.
    #[error("worker {worker:?} has not joined this run; start it again so that it joins")]
    NotJoined {
        /// The name that it gave.
        worker: String,
    },
    /// A message of another term or generation.
    #[error(
        "the message is of {theirs}, the run is at {ours}; start the worker again so that it joins"
    )]
    Fenced {
        /// Where the run is.
        ours: Lifetime,
        /// What the message says.
        theirs: Lifetime,
    },
    /// There are as many workers as wanted.
    #[error(
        "all {wanted} workers of this run have joined; raise cluster.max_workers in the run file for more"
    )]
    Full {
        /// Workers that are wanted.
        wanted: WorldSize,
    },
    /// Another binary, or another kind of device, than the first worker's.
    #[error(
        "this worker is build {theirs}, the first to join was build {ours}; all workers must run the same binary on the same kind of device"
    )]
    BuildMismatch {
        /// The first worker's.
        ours: String,
        /// The refused one's.
        theirs: String,
    },
    /// The run is over.
    #[error("the run is over: {reason}")]
    RunOver {
        /// Whether it failed.
        failed: bool,
        /// Why.
        reason: String,
    },
    /// The worker's results differ from the others' again and again.
    #[error(
        "the states that worker {worker:?} computes differ from the other ranks', and did before; \
         check the memory and the accelerator of {host}, and start a worker on another machine"
    )]
    Distrusted {
        /// Its name.
        worker: String,
        /// Its machine.
        host: String,
    },
    /// A request that makes no sense.
    #[error("{detail}; use the same build on both sides")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
    /// The coordinator cannot answer now.
    #[error("the coordinator cannot answer now: {detail}; ask again")]
    Unavailable {
        /// Why.
        detail: String,
    },
}

/// What to do about a [`ServiceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Join anew.
    Rejoin,
    /// Send the same request again after a pause.
    Retry,
    /// Give up.
    Stop,
}

impl ServiceError {
    /// What the receiver does.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::NotJoined { .. } | Self::Fenced { .. } => Recovery::Rejoin,
            Self::Unavailable { .. } => Recovery::Retry,
            Self::Full { .. }
            | Self::BuildMismatch { .. }
            | Self::RunOver { .. }
            | Self::Distrusted { .. }
            | Self::Invalid { .. } => Recovery::Stop,
        }
    }
}
