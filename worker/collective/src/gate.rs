//! What every engine does before and after a collective: count it, heed aborts, stay poisoned.

use crate::farewell::Farewell;
use crate::{AbortHandle, CollectiveError};
use twinspan_types::Rank;

/// The state that [`Gated::collective`] needs.
#[derive(Debug)]
pub(crate) struct Gate {
    rank: Rank,
    abort: AbortHandle,
}

impl Gate {
    pub fn new(rank: Rank, abort: AbortHandle) -> Self {
        Self { rank, abort }
    }

    pub fn abort_handle(&self) -> &AbortHandle {
        &self.abort
    }

    /// The last word of an engine that is dropped; none when it already said one.
    pub fn farewell_at_drop(&self) -> Option<Farewell> {
        match self.abort.poisoned() {
            Some(_) => None,
            None => Some(Farewell::finished(self.rank, self.abort.completed())),
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
        self.launch(|this, sequence| {
            let result = body(this, sequence)?;
            this.gate().abort.complete(sequence);
            Ok(result)
        })
    }

    /// As [`Gated::collective`], for one that is under way when the call returns: whoever sees its
    /// end counts it as completed.
    fn launch<T>(
        &mut self,
        body: impl FnOnce(&mut Self, u64) -> Result<T, CollectiveError>,
    ) -> Result<T, CollectiveError> {
        self.unbroken()?;
        let sequence = self.gate().abort.enter();
        let result = self
            .gate()
            .abort
            .check()
            .and_then(|()| body(self, sequence));
        result.map_err(|error| self.broken(error))
    }

    /// Fails as the next collective would, without being one.
    fn check(&mut self) -> Result<(), CollectiveError> {
        self.unbroken()?;
        let sound = self.gate().abort.check();
        sound.map_err(|error| self.broken(error))
    }

    /// Fails after an earlier error.
    fn unbroken(&mut self) -> Result<(), CollectiveError> {
        match self.gate().abort.poisoned() {
            Some(cause) => Err(CollectiveError::Poisoned {
                cause: cause.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// Poisons the engine with an error, and hands it back.
    fn broken(&mut self, error: CollectiveError) -> CollectiveError {
        let gate = self.gate();
        gate.abort.poison(error.to_string());
        let farewell = Farewell::of(&error, gate.rank, gate.abort.completed());
        let sequence = gate.abort.sequence();
        tracing::debug!(rank = gate.rank.0, sequence, %error, "leaving the data plane");
        self.leave(&farewell);
        error
    }
}
