//! The NCCL engine over fakes of its two libraries: coming together, work on the device, faults.

mod device;
mod faults;
mod gpu;
mod joining;
pub mod library;

use crate::fake::{FakeGpu, FakeNccl, Net, SharedGpu};
use crate::worlds::{OverRing, bounded, nccl_config, rings};
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinspan_collective::nccl::{DeviceBuffer, NcclMissing, NcclParts, RawStream};
use twinspan_collective::{NcclConfig, NcclConnectError, NcclEngine, TcpRing};

/// A rank that has not joined yet, with what is under its engine.
pub struct Rank {
    pub ring: TcpRing,
    pub gpu: SharedGpu,
    pub nccl: FakeNccl,
    pub config: NcclConfig,
    /// What this rank lacks.
    pub missing: Option<NcclMissing>,
}

/// A rank that has joined.
pub struct Joined {
    pub over: OverRing,
    pub gpu: SharedGpu,
    pub nccl: Arc<FakeNccl>,
    /// A stream of another engine on the same GPU.
    pub stream: RawStream,
}

/// Ranks that may still be changed before they join.
pub fn ranks(net: &Arc<Net>, size: u32) -> Vec<Rank> {
    let rank = |ring| {
        let gpu = SharedGpu(Arc::new(FakeGpu::default()));
        Rank {
            ring,
            nccl: FakeNccl::new(net, &gpu),
            gpu,
            config: nccl_config(),
            missing: None,
        }
    };
    let rings = rings(size, nccl_config().step_timeout);
    rings.into_iter().map(rank).collect()
}

/// Has all ranks join at the same time; those that do not keep their ring.
pub fn connect(ranks: Vec<Rank>) -> Vec<Result<Joined, (NcclConnectError, TcpRing)>> {
    let jobs = ranks.into_iter().map(|rank| {
        let Rank {
            mut ring,
            gpu,
            nccl,
            config,
            missing,
        } = rank;
        let nccl = Arc::new(nccl);
        let parts = NcclParts {
            nccl: nccl.clone(),
            cuda: Arc::new(gpu.clone()),
        };
        let parts = missing.map_or(Ok(parts), Err);
        move || match NcclEngine::connect_with(&mut ring, config, parts) {
            Ok(engine) => Ok(Joined {
                over: OverRing { engine, ring },
                stream: gpu.stream(),
                gpu,
                nccl,
            }),
            Err(error) => Err((error, ring)),
        }
    });
    bounded(jobs.collect())
}

/// Two ranks that have joined, with this step timeout.
pub fn pair(timeout: Duration) -> [Joined; 2] {
    let net = Arc::new(Net::default());
    let mut both = ranks(&net, 2);
    for rank in &mut both {
        rank.config.step_timeout = timeout;
    }
    let joined = connect(both).into_iter().map(|joined| match joined {
        Ok(joined) => joined,
        Err((error, _)) => panic!("{error}"),
    });
    let joined: Vec<Joined> = joined.collect();
    joined.try_into().ok().expect("two of them")
}

impl Joined {
    /// Numbers on the GPU, held by something else.
    pub fn buffer(&self, numbers: &[f32], held: impl Send + 'static) -> DeviceBuffer {
        let pointer = self.gpu.numbers(numbers);
        buffer(pointer, numbers.len(), held)
    }

    pub fn numbers(&self, buffer: &DeviceBuffer) -> Vec<f32> {
        self.gpu.read_numbers(buffer.pointer(), buffer.len())
    }
}

#[expect(unsafe_code, reason = "the engine takes a caller's word for a pointer")]
fn buffer(pointer: u64, length: usize, held: impl Send + 'static) -> DeviceBuffer {
    // SAFETY: a fake GPU looks its pointers up.
    unsafe { DeviceBuffer::new(pointer, length, held) }
}

/// Waits for what another thread does soon.
pub fn soon(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + crate::worlds::BOUND;
    while !is() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
