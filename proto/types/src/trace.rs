//! Where a rank's time went: what traces, bars and the search for stragglers are made of.

use crate::{Generation, Step};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// A part of a rank's step, or of its way into a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanName {
    /// Waiting for samples.
    DataWait,
    /// Decoding the step's samples, beside whatever else happens.
    Decode,
    /// The image tower, forward.
    ImageForward,
    /// The text tower, forward.
    TextForward,
    /// Gathering all ranks' embeddings or log-sum-exps.
    AllGather,
    /// This rank's rows of the loss and their gradients.
    Loss,
    /// Both towers, backward.
    Backward,
    /// Summing gradients over the ranks, and the vote.
    AllReduce,
    /// The update of the weights.
    Optimizer,
    /// What follows a committed step: its report, evaluation, orders.
    Commit,
    /// Taking a checkpoint's snapshot, or storing one of its parts.
    Checkpoint,
    /// Waiting for a generation.
    Join,
    /// Linking with the other ranks.
    Connect,
    /// Taking over the state that the generation starts from.
    Heal,
    /// From a healed state to the generation's first committed step.
    FirstStep,
}

impl SpanName {
    /// All of them, in the order of a step.
    pub const ALL: [Self; 15] = [
        Self::DataWait,
        Self::Decode,
        Self::ImageForward,
        Self::TextForward,
        Self::AllGather,
        Self::Loss,
        Self::Backward,
        Self::AllReduce,
        Self::Optimizer,
        Self::Commit,
        Self::Checkpoint,
        Self::Join,
        Self::Connect,
        Self::Heal,
        Self::FirstStep,
    ];

    /// As it stands in traces, metrics and on the status page.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DataWait => "data_wait",
            Self::Decode => "decode",
            Self::ImageForward => "image_forward",
            Self::TextForward => "text_forward",
            Self::AllGather => "all_gather",
            Self::Loss => "loss",
            Self::Backward => "backward",
            Self::AllReduce => "all_reduce",
            Self::Optimizer => "optimizer",
            Self::Commit => "commit",
            Self::Checkpoint => "checkpoint",
            Self::Join => "join",
            Self::Connect => "connect",
            Self::Heal => "heal",
            Self::FirstStep => "first_step",
        }
    }

    /// Whether a rank spends this time waiting for others: a rank that is late makes the others'
    /// longer, and its own shorter.
    #[must_use]
    pub fn waits_for_peers(self) -> bool {
        matches!(self, Self::AllGather | Self::AllReduce)
    }

    /// Whether it goes on beside the step, and is no part of its length.
    #[must_use]
    pub fn is_concurrent(self) -> bool {
        self == Self::Decode
    }
}

impl fmt::Display for SpanName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One stretch of a rank's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankSpan {
    /// What was done.
    pub name: SpanName,
    /// To what, where the name alone does not say: a checkpoint's file.
    pub detail: Option<String>,
    /// Microseconds after the trace's start; negative for what began before.
    pub offset_us: i64,
    /// Microseconds that it took.
    pub duration_us: u64,
}

/// What a trace is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceKind {
    /// One step.
    Step(Step),
    /// Storing this rank's part of the checkpoint of a step.
    Checkpoint(Step),
    /// The way into the generation.
    Generation,
}

/// Why a step is shown in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleReason {
    /// Its number is a multiple of `telemetry.trace_every`.
    Interval,
    /// It is the generation's first.
    First,
    /// Some rank found that it took much longer than the steps before.
    Slow,
    /// It changed no weight, or broke.
    Failed,
    /// Its state was saved.
    Checkpoint,
}

/// How one rank spent a step, or its way into a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankTrace {
    /// What it is of.
    pub kind: TraceKind,
    /// The generation.
    pub generation: Generation,
    /// Since 1970 by the rank's own clock.
    pub started: Duration,
    /// Microseconds from its start to its end.
    pub duration_us: u64,
    /// Whether it is kept in full, and why.
    pub sampled: Option<SampleReason>,
    /// Its parts, in the order in which they began.
    pub spans: Vec<RankSpan>,
}

impl RankTrace {
    /// The rank's own time of each part, leaving out what goes on beside the step.
    pub fn sequential(&self) -> impl Iterator<Item = &RankSpan> {
        self.spans.iter().filter(|span| !span.name.is_concurrent())
    }
}

/// What a worker's process uses, told with each heartbeat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Resident memory in bytes; 0 where the system does not tell.
    pub memory_bytes: u64,
    /// Memory in use on its device in bytes; none on the processor.
    pub device_memory_bytes: Option<u64>,
    /// Bytes that it sent to other ranks in this generation.
    pub sent_bytes: u64,
    /// Bytes that it received from them.
    pub received_bytes: u64,
}

/// A rank that the others wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct Straggler {
    /// Its number.
    pub rank: crate::Rank,
    /// The worker that holds it.
    pub worker: crate::WorkerId,
    /// That worker's machine.
    pub host: String,
    /// What takes it longer than the others.
    pub phase: SpanName,
    /// How much longer, a step, than the ranks' median.
    pub excess: Duration,
    /// The first step of the window.
    pub from: Step,
    /// The last one.
    pub through: Step,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_called_the_same_in_json_and_in_words() {
        for name in SpanName::ALL {
            assert_eq!(serde_json::json!(name), name.as_str());
        }
    }
}
