//! The data plane among the ranks of one generation: gathers, sums, broadcasts and barriers over
//! host memory, and between GPUs over theirs.
//!
//! Every rank calls the same collectives in the same order with the same sizes. Engines:
//! [`ThreadWorld`] for the ranks of one process, [`TcpRing`] between processes and machines, and
//! [`NcclEngine`] between GPUs.
//! Nothing here knows of the coordinator: a broken collective is an error on every rank, and the
//! caller leaves the generation.
//!
//! Numbers travel as they lie in memory: little-endian IEEE 754.

#[cfg(target_endian = "big")]
compile_error!("the wire format of twinspan-collective is the memory of little-endian machines");

mod abort;
mod error;
mod farewell;
mod gate;
mod layout;
mod line;
pub mod nccl;
pub mod tcp;
pub mod threads;

pub use abort::AbortHandle;
pub use error::{CollectiveError, Operation};
pub use line::Line;
pub use nccl::{DeviceBuffer, NcclConfig, NcclConnectError, NcclEngine};
pub use tcp::{RingConfig, RingListener, TcpRing};
pub use threads::{ThreadCollective, ThreadWorld};

use twinspan_types::{Rank, WorldSize};

/// The longest message of one rank that [`Collective::all_gather_bytes`] carries: 16 MiB.
pub const MAX_MESSAGE: usize = 16 << 20;

/// One rank's end of the data plane of one generation.
///
/// All calls block, each within its engine's bound: without progress for the step timeout they
/// fail. After any error the engine is poisoned, on this rank and soon on all others, and every
/// later call returns [`CollectiveError::Poisoned`].
pub trait Collective: Send {
    /// This rank.
    fn rank(&self) -> Rank;

    /// How many ranks take part.
    fn world_size(&self) -> WorldSize;

    /// A handle by which another thread stops this rank's collectives and sees how far it is.
    fn abort_handle(&self) -> AbortHandle;

    /// Where an engine beside this one hears of ranks that leave; silent unless the engine says
    /// otherwise.
    fn line(&self) -> Line {
        Line::silent()
    }

    /// Gathers every rank's numbers.
    ///
    /// `local` is this rank's part, `counts[r]` the length of rank r's part (they may differ, and
    /// be zero), `out` has the length of all parts together and receives them rank by rank.
    ///
    /// # Errors
    /// As every collective: a lost peer, the step timeout, an abort, ranks that disagree on the
    /// call, slices that do not fit `counts`, an earlier error.
    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError>;

    /// Replaces `buffer`, of one length on all ranks, by the sum over all ranks.
    ///
    /// The order of summation depends on the place in the buffer, its length and the world size
    /// alone: the same bits on every rank and in every run.
    ///
    /// # Errors
    /// As [`Collective::all_gather`].
    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError>;

    /// Replaces `buffer`, of one length on all ranks, by the root's.
    ///
    /// The root may return before the others have received everything.
    ///
    /// # Errors
    /// As [`Collective::all_gather`].
    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError>;

    /// Gathers one message of every rank, of any length up to [`MAX_MESSAGE`], by rank.
    ///
    /// # Errors
    /// As [`Collective::all_gather`], and when a message is too long.
    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError>;

    /// Returns when every rank has entered it.
    ///
    /// # Errors
    /// As [`Collective::all_gather`].
    fn barrier(&mut self) -> Result<(), CollectiveError>;
}
