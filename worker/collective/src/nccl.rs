//! The engine between GPUs: NCCL, opened at run time.
//!
//! A thread of its own owns each generation's communicator and stream. It never lets a call wait
//! where it could not look after the others: the communicator is non-blocking, memory on the host
//! is pinned, and the end of an operation is an event that is asked for. So a deadline, an abort or
//! a lost peer ends every operation, and with it whatever waits for it on the device.
//!
//! Ranks are brought together over another engine, the generation's TCP ring, and hear over it of
//! ranks that leave: keep it as long as the NCCL engine, and drop the NCCL engine first.

mod api;
mod bootstrap;
mod cuda;
mod device;
mod driver;
mod engine;
mod fate;
mod handles;
mod header;
mod launch;
mod library;
mod loading;
mod missing;
mod port;
mod staging;
mod thread;
mod version;
mod watch;

pub use api::{NcclApi, NcclStatus, RawComm, UNIQUE_ID, UniqueId};
pub use bootstrap::{NcclConnectError, NcclUnusable};
pub use cuda::{CudaApi, CudaFault, RawContext, RawEvent, RawStream};
pub use device::DeviceBuffer;
pub use driver::CudaDriver;
pub use engine::NcclEngine;
pub use library::NcclLibrary;
pub use missing::NcclMissing;
pub use version::NcclVersion;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use twinspan_types::Generation;

/// One generation's communicator as a rank sees it. Rank, world size and abort handle are those of
/// the engine that brings the ranks together.
#[derive(Debug, Clone, Copy)]
pub struct NcclConfig {
    /// The number of this rank's GPU, as CUDA counts them.
    pub device: u32,
    /// The generation.
    pub generation: Generation,
    /// How long the ranks may take to come together.
    pub connect_timeout: Duration,
    /// How long operations may be under way without one of them ending. It bounds the wait for the
    /// slowest rank, so it must be longer than the time between two collectives on any rank.
    pub step_timeout: Duration,
}

/// The two libraries that an engine works with.
#[derive(Clone)]
pub struct NcclParts {
    /// NCCL.
    pub nccl: Arc<dyn NcclApi>,
    /// The driver.
    pub cuda: Arc<dyn CudaApi>,
}

impl NcclParts {
    /// Opens both libraries as they are installed; `TWINSPAN_NCCL` may name NCCL's file.
    ///
    /// # Errors
    /// With what is missing, and what to do.
    pub fn open() -> Result<Self, NcclMissing> {
        Ok(Self {
            nccl: Arc::new(open_library()?),
            cuda: Arc::new(CudaDriver::open()?),
        })
    }
}

/// The version of the NCCL that an engine would use. It needs neither GPU nor driver.
///
/// # Errors
/// With what is missing, and what to do.
pub fn probe() -> Result<NcclVersion, NcclMissing> {
    open_library().map(|library| library.installed())
}

fn open_library() -> Result<NcclLibrary, NcclMissing> {
    let path = std::env::var_os(library::VARIABLE).map(PathBuf::from);
    NcclLibrary::open(path.as_deref())
}
