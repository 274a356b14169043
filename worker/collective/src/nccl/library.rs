//! NCCL's library, opened at run time. cudarc would look for `libnccl.so` alone, which only
//! development packages have, and panic without it: its types are used here, not its functions.

#![expect(unsafe_code, reason = "NCCL is a C library")]

use super::loading::{open_first, symbols};
use super::{NcclApi, NcclMissing, NcclStatus, NcclVersion, RawComm, RawStream, UniqueId};
use cudarc::nccl::sys::{
    cudaStream_t, ncclComm_t, ncclConfig_t, ncclDataType_t, ncclRedOp_t, ncclUniqueId,
};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use twinspan_types::{Rank, WorldSize};

/// The names under which the loader is asked for NCCL: packages for use have the first alone.
const NAMES: [&str; 2] = ["libnccl.so.2", "libnccl.so"];
/// The environment variable that names the library's file.
pub(super) const VARIABLE: &str = "TWINSPAN_NCCL";
/// What marks a configuration as filled in by NCCL's macro.
const CONFIG_MAGIC: u32 = 0xcafe_beef;
/// The version of NCCL whose configuration cudarc describes.
const CONFIG_VERSION: u32 = 23_000;
/// A number that NCCL shall choose.
const UNDEFINED: c_int = c_int::MIN;

// Answers are numbers here: a newer library has some that cudarc's enum has not.
symbols! {
    struct Functions {
        ncclGetVersion: fn(*mut c_int) -> u32,
        ncclGetUniqueId: fn(*mut ncclUniqueId) -> u32,
        ncclCommInitRankConfig: fn(*mut ncclComm_t, c_int, ncclUniqueId, c_int, *mut ncclConfig_t) -> u32,
        ncclCommGetAsyncError: fn(ncclComm_t, *mut u32) -> u32,
        ncclCommAbort: fn(ncclComm_t) -> u32,
        ncclCommDestroy: fn(ncclComm_t) -> u32,
        ncclAllGather: fn(*const c_void, *mut c_void, usize, ncclDataType_t, ncclComm_t, cudaStream_t) -> u32,
        ncclAllReduce: fn(*const c_void, *mut c_void, usize, ncclDataType_t, ncclRedOp_t, ncclComm_t, cudaStream_t) -> u32,
        ncclBroadcast: fn(*const c_void, *mut c_void, usize, ncclDataType_t, c_int, ncclComm_t, cudaStream_t) -> u32,
        ncclGetErrorString: fn(u32) -> *const c_char,
    }
}

/// NCCL as it is installed.
pub struct NcclLibrary {
    functions: Functions,
    version: NcclVersion,
}

impl NcclLibrary {
    /// Opens NCCL: the file at `path`, or what the loader finds by name.
    ///
    /// # Errors
    /// [`NcclMissing::Library`] or [`NcclMissing::WrongLibrary`].
    pub fn open(path: Option<&Path>) -> Result<Self, NcclMissing> {
        let named = path.map(Path::to_string_lossy);
        let names = named.as_deref().map_or(NAMES.to_vec(), |path| vec![path]);
        let (file, library) = open_first(&names).map_err(|detail| NcclMissing::Library {
            file: names[0].to_owned(),
            detail,
        })?;
        let wrong = |detail| NcclMissing::WrongLibrary {
            file: file.to_owned(),
            detail,
        };
        let functions =
            Functions::load(library).map_err(|symbol| wrong(format!("it has no {symbol}")))?;
        let mut code = 0;
        // SAFETY: the function writes one int.
        let status = unsafe { (functions.ncclGetVersion)(&raw mut code) };
        match (status, u32::try_from(code)) {
            (0, Ok(code)) => Ok(Self {
                functions,
                version: NcclVersion::from_code(code),
            }),
            _ => Err(wrong(format!("ncclGetVersion says {status}"))),
        }
    }
}

/// A configuration that leaves all to NCCL but whether calls block.
fn non_blocking() -> ncclConfig_t {
    ncclConfig_t {
        size: size_of::<ncclConfig_t>(),
        magic: CONFIG_MAGIC,
        version: CONFIG_VERSION,
        blocking: 0,
        cgaClusterSize: UNDEFINED,
        minCTAs: UNDEFINED,
        maxCTAs: UNDEFINED,
        netName: ptr::null(),
        splitShare: UNDEFINED,
        trafficClass: UNDEFINED,
        commName: ptr::null(),
        collnetEnable: UNDEFINED,
        CTAPolicy: UNDEFINED,
        shrinkShare: UNDEFINED,
        nvlsCTAs: UNDEFINED,
        nChannelsPerNetPeer: UNDEFINED,
        nvlinkCentricSched: UNDEFINED,
        graphUsageMode: UNDEFINED,
        numRmaCtx: UNDEFINED,
        maxP2pPeers: UNDEFINED,
    }
}

fn comm(raw: RawComm) -> ncclComm_t {
    raw.0 as ncclComm_t
}

fn stream(raw: RawStream) -> cudaStream_t {
    raw.0 as cudaStream_t
}

/// A rank or size as NCCL counts it. Worlds are counted in thousands at most.
fn int(number: u32) -> c_int {
    c_int::try_from(number).unwrap_or(c_int::MAX)
}

impl NcclLibrary {
    /// The version of the library.
    pub(super) fn installed(&self) -> NcclVersion {
        self.version
    }
}

impl NcclApi for NcclLibrary {
    fn version(&self) -> Result<NcclVersion, u32> {
        Ok(self.version)
    }

    fn unique_id(&self) -> Result<UniqueId, u32> {
        let mut id = ncclUniqueId { internal: [0; 128] };
        // SAFETY: the function fills the id, whose size is part of NCCL's interface.
        match unsafe { (self.functions.ncclGetUniqueId)(&raw mut id) } {
            0 => Ok(UniqueId(id.internal.map(c_char::cast_unsigned))),
            code => Err(code),
        }
    }

    unsafe fn init(
        &self,
        world: WorldSize,
        id: &UniqueId,
        rank: Rank,
    ) -> (Option<RawComm>, NcclStatus) {
        let mut config = non_blocking();
        let mut comm: ncclComm_t = ptr::null_mut();
        let id = ncclUniqueId {
            internal: id.0.map(u8::cast_signed),
        };
        // SAFETY: NCCL copies id and configuration before it returns, and writes one handle; the
        // caller has made the device's context current.
        let code = unsafe {
            (self.functions.ncclCommInitRankConfig)(
                &raw mut comm,
                int(world.0),
                id,
                int(rank.0),
                &raw mut config,
            )
        };
        let handle = (!comm.is_null()).then_some(RawComm(comm as usize));
        (handle, NcclStatus::from_code(code))
    }

    unsafe fn async_error(&self, raw: RawComm) -> NcclStatus {
        let mut state = 0;
        // SAFETY: the communicator lives, and NCCL writes one enum of an int's size.
        match unsafe { (self.functions.ncclCommGetAsyncError)(comm(raw), &raw mut state) } {
            0 => NcclStatus::from_code(state),
            code => NcclStatus::Failed(code),
        }
    }

    unsafe fn abort(&self, raw: RawComm) -> NcclStatus {
        // SAFETY: the communicator lives; the caller does not use it again.
        NcclStatus::from_code(unsafe { (self.functions.ncclCommAbort)(comm(raw)) })
    }

    unsafe fn destroy(&self, raw: RawComm) -> NcclStatus {
        // SAFETY: the communicator lives and is idle; the caller does not use it again.
        NcclStatus::from_code(unsafe { (self.functions.ncclCommDestroy)(comm(raw)) })
    }

    unsafe fn all_gather(
        &self,
        send: u64,
        receive: u64,
        bytes: usize,
        raw: RawComm,
        on: RawStream,
    ) -> NcclStatus {
        let all_gather = self.functions.ncclAllGather;
        let byte = ncclDataType_t::ncclUint8;
        let (send, receive) = (send as *const c_void, receive as *mut c_void);
        // SAFETY: the caller vouches for handles and memory.
        NcclStatus::from_code(unsafe {
            all_gather(send, receive, bytes, byte, comm(raw), stream(on))
        })
    }

    unsafe fn all_reduce_sum(
        &self,
        buffer: u64,
        count: usize,
        raw: RawComm,
        on: RawStream,
    ) -> NcclStatus {
        let all_reduce = self.functions.ncclAllReduce;
        let (number, sum) = (ncclDataType_t::ncclFloat32, ncclRedOp_t::ncclSum);
        let (send, receive) = (buffer as *const c_void, buffer as *mut c_void);
        // SAFETY: the caller vouches for handles and memory; equal pointers mean in place.
        NcclStatus::from_code(unsafe {
            all_reduce(send, receive, count, number, sum, comm(raw), stream(on))
        })
    }

    unsafe fn broadcast(
        &self,
        buffer: u64,
        bytes: usize,
        root: Rank,
        raw: RawComm,
        on: RawStream,
    ) -> NcclStatus {
        let broadcast = self.functions.ncclBroadcast;
        let (byte, root) = (ncclDataType_t::ncclUint8, int(root.0));
        let (send, receive) = (buffer as *const c_void, buffer as *mut c_void);
        // SAFETY: the caller vouches for handles and memory; equal pointers mean in place.
        NcclStatus::from_code(unsafe {
            broadcast(send, receive, bytes, byte, root, comm(raw), stream(on))
        })
    }

    fn describe(&self, code: u32) -> String {
        // SAFETY: NCCL answers any number with a text of its own.
        let text = unsafe { (self.functions.ncclGetErrorString)(code) };
        if text.is_null() {
            return format!("NCCL error {code}");
        }
        // SAFETY: the text ends with a zero and lives as long as the library, which stays open.
        let text = unsafe { CStr::from_ptr(text) };
        format!("{} (NCCL error {code})", text.to_string_lossy())
    }
}
