//! What a communicator's end means for its generation. Until all ranks have said that they joined
//! it means nothing: they may all go on with the engine that brought them together.

use crate::farewell::Farewell;
use crate::line::Line;
use crate::{AbortHandle, CollectiveError};
use std::sync::{Mutex, PoisonError};
use twinspan_types::Rank;

/// Shared by an engine and its thread.
pub(super) struct Fate {
    rank: Rank,
    abort: AbortHandle,
    line: Line,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    agreed: bool,
    failed: Option<CollectiveError>,
}

impl Fate {
    pub fn new(rank: Rank, abort: AbortHandle, line: Line) -> Self {
        Self {
            rank,
            abort,
            line,
            state: Mutex::default(),
        }
    }

    /// Takes note of the communicator's end.
    pub fn fail(&self, error: &CollectiveError) {
        self.change(|state| state.failed = Some(error.again()));
    }

    /// From now on the generation stands and falls with the communicator.
    pub fn agree(&self) {
        self.change(|state| state.agreed = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if let State {
            agreed: true,
            failed: Some(error),
        } = &*state
        {
            self.abort.fail(error.again());
            let farewell = Farewell::of(error, self.rank, self.abort.completed());
            self.line.leave(&farewell);
        }
    }
}
