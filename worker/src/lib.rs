//! One rank of a run: it reads its lanes, embeds its part of the batch, takes part in the exact
//! full-batch loss, sums gradients with its peers, and writes its parts of checkpoints. Also what
//! is done with a trained model: evaluation.

mod batches;
pub mod checkpoint;
mod clock;
mod contrast;
mod device;
mod error;
pub mod eval;
mod evaluation;
mod exchange;
mod grouping;
mod heal;
mod life;
pub mod robustness;
mod state;
mod step;
pub mod storage;
mod trace;
mod train;
mod transport;
mod upload;
mod vitals;
pub mod weights;

pub use clock::Clock;
pub use device::deal as deal_devices;
pub use error::WorkerError;
pub use evaluation::Unfinished;
pub use exchange::Exchange;
pub use life::{Finished, WorkerConfig, run};
pub use state::TrainState;
pub use step::{LocalSamples, NotFinite, StepOrder, StepOutcome, StepResult, Stepper};
pub use twinspan_session::{Drain, run_at};
