//! What every engine does before and after a collective: count it, heed aborts, stay poisoned.

use crate::farewell::Farewell;
use crate::{AbortHandle, CollectiveError};
use twinspan_types::Rank;

/// The state that [`Gated::collective`] needs.
#[derive(Debug)]
pub(crate) struct Gate {
    rank: Rank,
    abort: AbortHandle,
    completed: u64,
    poisoned: Option<String>,
}

impl Gate {
    pub fn new(rank: Rank, abort: AbortHandle) -> Self {
        Self {
            rank,
            abort,
            completed: 0,
            poisoned: None,
        }
    }

    pub fn abort_handle(&self) -> &AbortHandle {
        &self.abort
    }

    /// The last word of an engine that is dropped; none when it already said one.
    pub fn farewell_at_drop(&self) -> Option<Farewell> {
        match self.poisoned {
            Some(_) => None,
            None => Some(Farewell::finished(self.rank, self.completed)),
        }
    }
}

/// An engine with a gate.
pub(crate) trait Gated: Sized {
    /// Its gate.
    fn gate(&mut self) -> &mut Gate;

    /// Tells the other ranks and cuts the links; called once.
    fn leave(&mut self, farewell: &Farewell);

    /// Runs one collective, which gets its number; any error poisons the engine.
    fn collective<T>(
        &mut self,
        body: impl FnOnce(&mut Self, u64) -> Result<T, CollectiveError>,
    ) -> Result<T, CollectiveError> {
        if let Some(cause) = &self.gate().poisoned {
            return Err(CollectiveError::Poisoned {
                cause: cause.clone(),
            });
        }
        let sequence = self.gate().abort.enter();
        let result = self
            .gate()
            .abort
            .check()
            .and_then(|()| body(self, sequence));
        match &result {
            Ok(_) => self.gate().completed = sequence,
            Err(error) => {
                let gate = self.gate();
                gate.poisoned = Some(error.to_string());
                let farewell = Farewell::of(error, gate.rank, gate.completed);
                tracing::debug!(rank = gate.rank.0, sequence, %error, "leaving the data plane");
                self.leave(&farewell);
            }
        }
        result
    }
}
