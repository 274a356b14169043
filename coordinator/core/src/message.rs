//! What goes into a core and what comes out.

use twinspan_types::{
    CheckpointName, Evaluation, Fact, Fence, Generation, Join, Joined, Leave, Manifest,
    PartsStored, Quarantine, Rank, RankTrace, Ready, Report, ReportReply, RunStatus, ServiceError,
    Skip, Step, StepReport, WorldState,
};

/// Tells the caller which request a reply answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A request; it is answered by exactly one [`Action::Reply`] of the same call.
    Request {
        /// Comes back with the reply.
        token: Token,
        /// What is asked.
        request: Request,
    },
    /// The operator of this process wants the run stopped.
    StopRequested,
    /// A manifest was stored, or could not be: the error's words.
    ManifestStored(CheckpointName, Result<(), String>),
    /// A fact was logged, or could not be: the error's words.
    RecordLogged(Fact, Result<(), String>),
    /// What [`Action::FlushSegments`] asked for is in the store, or could not be written: the
    /// error's words.
    Flushed(Result<(), String>),
    /// A deadline has passed.
    Tick,
}

/// What workers and operators ask.
#[derive(Debug, Clone)]
pub enum Request {
    /// To take part.
    Join(Join),
    /// For the speaker's next generation.
    GetWorld(Ready),
    /// To read lanes further, having committed this step.
    ExtendLease(Fence, Step),
    /// Heartbeat, committed steps, skipped samples.
    Report(Report),
    /// A rank's files of a checkpoint are in the store.
    PartsStored(PartsStored),
    /// To pass over a shard that the rank cannot read.
    Quarantine(Fence, Quarantine),
    /// To go.
    Leave(Leave),
    /// To checkpoint and stop the run.
    Stop,
    /// What the coordinator sees.
    GetStatus,
}

/// The answers, in the order of [`Request`].
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To [`Request::Join`].
    Joined(Joined),
    /// To [`Request::GetWorld`].
    World(WorldState),
    /// To [`Request::ExtendLease`]: the lanes may be read for every step up to this one.
    Lease(Step),
    /// To [`Request::Report`].
    Report(ReportReply),
    /// To [`Request::PartsStored`]: whether the checkpoint exists.
    Parts {
        /// Whether its manifest and record are in the store.
        committed: bool,
    },
    /// To [`Request::Quarantine`].
    Quarantine {
        /// Whether it is in the log.
        recorded: bool,
    },
    /// To [`Request::Leave`].
    Left,
    /// To [`Request::Stop`].
    Stopping,
    /// To [`Request::GetStatus`].
    Status(Box<RunStatus>),
}

/// Something to do. Writes are to be carried out in the order in which they are given.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Answer a request.
    Reply(Token, Result<Response, ServiceError>),
    /// Append a fact to the log; then say [`Event::RecordLogged`].
    Log(Fact),
    /// Store a manifest, put-if-absent; then say [`Event::ManifestStored`].
    StoreManifest(Manifest),
    /// Remove a retired checkpoint: its manifest, then its parts.
    RemoveCheckpoint(CheckpointName),
    /// Tell the operator what happened and what happens next.
    Tell(Topic, String),
    /// Keep committed steps for the next segment.
    AppendMetrics(Generation, Vec<StepReport>),
    /// Keep finished evaluations for the next segment.
    AppendEvaluations(Generation, Vec<Evaluation>),
    /// Keep skipped samples for the next segment.
    AppendSkips(Generation, Vec<Skip>),
    /// Show how a rank spent its time; it is kept nowhere else.
    Trace(Rank, Vec<RankTrace>),
    /// Write what was appended as segments; then say [`Event::Flushed`].
    FlushSegments,
    /// The run is over for this coordinator: nothing follows.
    Finish(Outcome),
}

/// What a word to the operator is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A generation was formed, which its record says too.
    Formed,
    /// A generation of an earlier term goes on, or does not.
    Adopted,
    /// A member of the generation at work was lost.
    Lost,
    /// A checkpoint was committed, which its record says too.
    Saved,
    /// The run goes back to a checkpoint.
    Rollback,
    /// A rank that the others wait for, or no longer do.
    Straggler,
    /// Anything else.
    Notice,
}

/// How a run ended for this coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It reached its last step.
    Ended {
        /// That step.
        step: Step,
        /// The checkpoint that holds it.
        checkpoint: Option<CheckpointName>,
    },
    /// It was told to stop, and can be continued.
    Stopped {
        /// The step that it stopped at.
        step: Step,
        /// The checkpoint that it continues from; none before the first.
        checkpoint: Option<CheckpointName>,
    },
    /// It cannot go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}
