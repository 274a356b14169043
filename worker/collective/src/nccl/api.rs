//! What the engine needs of NCCL: ten functions of its library, as a trait so that tests can do
//! without it.

#![expect(unsafe_code, reason = "raw handles are the caller's word")]

use super::{NcclVersion, RawStream};
use twinspan_types::{Rank, WorldSize};

/// Bytes of a unique id.
pub const UNIQUE_ID: usize = 128;

/// What brings the ranks of one communicator together. It holds an address of rank 0's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UniqueId(pub [u8; UNIQUE_ID]);

/// A communicator's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawComm(pub usize);

/// What a function of NCCL answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NcclStatus {
    /// Done, or enqueued.
    Success,
    /// A non-blocking communicator is still at it.
    InProgress,
    /// An error, by NCCL's number.
    Failed(u32),
}

impl NcclStatus {
    /// The number of `ncclSystemError`: a call to the system failed, mostly one to the network.
    pub const SYSTEM_ERROR: u32 = 2;
    /// The number of `ncclRemoteError`: another rank or the way to it is gone.
    pub const REMOTE_ERROR: u32 = 6;
    /// The number of `ncclTimeout`.
    pub const TIMEOUT: u32 = 8;

    /// The status that NCCL calls by this number. Newer libraries have numbers that this build does
    /// not know.
    #[must_use]
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Success,
            7 => Self::InProgress,
            code => Self::Failed(code),
        }
    }
}

/// The functions of `libnccl.so.2`. None of them waits for another rank, as long as the
/// communicator is non-blocking.
///
/// Communicators and streams are raw handles: all methods that take one must be given a live one,
/// on a thread whose current context is that of the communicator's device.
pub trait NcclApi: Send + Sync {
    /// `ncclGetVersion`.
    ///
    /// # Errors
    /// With NCCL's number.
    fn version(&self) -> Result<NcclVersion, u32>;

    /// `ncclGetUniqueId`.
    ///
    /// # Errors
    /// With NCCL's number.
    fn unique_id(&self) -> Result<UniqueId, u32>;

    /// `ncclCommInitRankConfig`, non-blocking. There is no communicator where it failed at once.
    ///
    /// # Safety
    /// The thread's current context must be that of the device to use.
    unsafe fn init(
        &self,
        world: WorldSize,
        id: &UniqueId,
        rank: Rank,
    ) -> (Option<RawComm>, NcclStatus);

    /// `ncclCommGetAsyncError`.
    ///
    /// # Safety
    /// A live communicator.
    unsafe fn async_error(&self, comm: RawComm) -> NcclStatus;

    /// `ncclCommAbort`: ends what runs on the device, and frees the communicator.
    ///
    /// # Safety
    /// A live communicator, which is gone afterwards.
    unsafe fn abort(&self, comm: RawComm) -> NcclStatus;

    /// `ncclCommDestroy`.
    ///
    /// # Safety
    /// A live communicator that is not in progress, which is gone afterwards.
    unsafe fn destroy(&self, comm: RawComm) -> NcclStatus;

    /// `ncclAllGather` of `bytes` bytes a rank.
    ///
    /// # Safety
    /// A live communicator that is not in progress; `send` has `bytes` bytes of device memory,
    /// `receive` as many for each rank, until the stream has passed.
    unsafe fn all_gather(
        &self,
        send: u64,
        receive: u64,
        bytes: usize,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus;

    /// `ncclAllReduce`: the sum of `count` f32 numbers, in place.
    ///
    /// # Safety
    /// As [`NcclApi::all_gather`]; `buffer` has `count` f32 numbers.
    unsafe fn all_reduce_sum(
        &self,
        buffer: u64,
        count: usize,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus;

    /// `ncclBroadcast` of `bytes` bytes, in place.
    ///
    /// # Safety
    /// As [`NcclApi::all_gather`]; `buffer` has `bytes` bytes.
    unsafe fn broadcast(
        &self,
        buffer: u64,
        bytes: usize,
        root: Rank,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus;

    /// `ncclGetErrorString`.
    fn describe(&self, code: u32) -> String;
}
