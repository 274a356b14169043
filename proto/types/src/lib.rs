//! The vocabulary of a run: ids, configuration, index, world, directives, manifests and log records.
//!
//! Nothing here reads a clock, opens a socket or starts a task; every other crate speaks in these
//! types.

pub mod config;
mod directive;
mod ids;
mod index;
mod manifest;
mod quarantine;
mod record;
mod report;
mod rpc;
mod trace;
mod world;

pub use config::{ConfigError, Fault, RunConfig};
pub use directive::{CheckpointOrder, Directive};
pub use ids::{
    Epoch, Generation, LaneId, Nonce, Rank, SessionSecret, ShardId, SourceId, Step, StreamId, Term,
    WorkerId, WorldSize,
};
pub use index::{Index, IndexError, ShardEntry, SourceEntry};
pub use manifest::{CheckpointName, MANIFEST_VERSION, Manifest, Part};
pub use quarantine::Quarantine;
pub use record::{Fact, LogRecord};
pub use report::{Evaluation, Phase, Skip, SkipReason, StepMetrics, StepReport};
pub use rpc::{
    Claim, Ended, Fence, GenerationFault, Join, Joined, Leave, LeaveOutcome, Lifetime, PartsStored,
    RankStatus, Ready, Recovery, Report, ReportReply, RunState, RunStatus, ServiceError,
    WorldState,
};
pub use trace::{RankSpan, RankTrace, SampleReason, SpanName, Straggler, TraceKind, Vitals};
pub use world::{Cursor, LaneTable, Member, Stamp, World};
