//! The documents by name.

use super::View;
use serde::Serialize;
use twinspan_types::{RunStatus, Step};

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The run as a whole.
    Run,
    /// Its ranks.
    Ranks,
    /// Its curves.
    History,
    /// Lanes and shards.
    Lanes,
    /// What happened.
    Events,
    /// The steps that are shown in full.
    Steps,
    /// One of them.
    Step(Step),
    /// The checkpoints.
    Checkpoints,
    /// Samples that could not be used.
    Skips,
}

impl Document {
    /// Those that the stream brings, in this order.
    pub const STREAMED: [Self; 8] = [
        Self::Run,
        Self::Ranks,
        Self::History,
        Self::Lanes,
        Self::Events,
        Self::Steps,
        Self::Checkpoints,
        Self::Skips,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Ranks => "ranks",
            Self::History => "history",
            Self::Lanes => "lanes",
            Self::Events => "events",
            Self::Steps => "steps",
            Self::Step(_) => "step",
            Self::Checkpoints => "checkpoints",
            Self::Skips => "skips",
        }
    }
}

impl View {
    /// A document as JSON; none of a step that is not among those shown.
    pub fn document(&mut self, document: Document, status: &RunStatus) -> Option<String> {
        self.meet(status);
        match document {
            Document::Run => {
                let world_size = self.seats.workers().count();
                json(&self.identity.document(status, world_size, &self.pace))
            }
            Document::Ranks => json(&self.ranks.document(status, &self.seats)),
            Document::History => json(&self.history.document()),
            Document::Lanes => json(&self.lanes.document(&self.seats)),
            Document::Events => json(&self.timeline.document()),
            Document::Steps => json(&self.steps.document()),
            Document::Step(step) => json(&self.steps.step(step)?),
            Document::Checkpoints => json(&self.checkpoints.document()),
            Document::Skips => json(&self.skips.document()),
        }
    }
}

fn json(document: &impl Serialize) -> Option<String> {
    match serde_json::to_string(document) {
        Ok(text) => Some(text),
        Err(error) => {
            // No document holds what JSON cannot.
            tracing::error!(%error, "a document of the status page has no JSON form");
            None
        }
    }
}
