//! How an engine that has no way of its own to say why it leaves uses another engine's: NCCL's
//! ranks hear of each other over the ring that they were brought together by.

use crate::CollectiveError;
use crate::farewell::Farewell;
use std::fmt;
use std::sync::Arc;

/// What an engine lends to the one beside it.
pub(crate) trait Hearing: Send + Sync {
    /// Fails when a rank is lost, or left before it completed this collective; does not wait.
    fn listen(&self, sequence: u64) -> Result<(), CollectiveError>;

    /// Tells the other ranks that this one leaves; does not wait.
    fn leave(&self, farewell: &Farewell);
}

/// Another engine's way to hear of ranks that leave, and to say so. It works while that engine
/// lives.
#[derive(Clone)]
pub struct Line(Option<Arc<dyn Hearing>>);

impl Line {
    /// A line on which nothing is heard.
    #[must_use]
    pub fn silent() -> Self {
        Self(None)
    }

    pub(crate) fn through<T: Hearing + 'static>(engine: &Arc<T>) -> Self {
        Self(Some(Arc::clone(engine) as Arc<dyn Hearing>))
    }

    pub(crate) fn listen(&self, sequence: u64) -> Result<(), CollectiveError> {
        self.0.as_ref().map_or(Ok(()), |line| line.listen(sequence))
    }

    pub(crate) fn leave(&self, farewell: &Farewell) {
        if let Some(line) = &self.0 {
            line.leave(farewell);
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silent = self.0.is_none();
        f.debug_struct("Line").field("silent", &silent).finish()
    }
}
