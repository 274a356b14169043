//! The engine over the real NCCL on one GPU. Where there is none of both, these tests say so and
//! are skipped.
//!
//! NCCL refuses two ranks on one GPU of one machine; each process says that it is another machine,
//! and the ranks meet over the loopback interface.

use super::library::{installed, tell};
use crate::conformance::{self, script};
use crate::processes::{Process, join_ring};
use crate::worlds::{AnyRank, OverRing, nccl_config, rings};
use gpu_memory::GpuNumbers;
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinspan_collective::nccl::{CudaApi, CudaDriver, NcclLibrary, NcclParts};
use twinspan_collective::{Collective, CollectiveError, NcclEngine, TcpRing};
use twinspan_types::Rank;

mod gpu_memory;

/// Set for child ranks: the rank's number.
const RANK: &str = "TWINSPAN_COLLECTIVE_TEST_GPU_RANK";

/// Driver, GPU and NCCL, or which of them is missing.
fn parts() -> Result<NcclParts, String> {
    let cuda = CudaDriver::open().map_err(|missing| missing.to_string())?;
    cuda.retain(nccl_config().device)
        .map_err(|fault| format!("no GPU: {fault}"))?;
    let nccl = match installed() {
        Ok((file, _)) => NcclLibrary::open(Some(&file)),
        Err(_) => NcclLibrary::open(None),
    };
    Ok(NcclParts {
        nccl: Arc::new(nccl.map_err(|missing| missing.to_string())?),
        cuda: Arc::new(cuda),
    })
}

fn connect(mut ring: TcpRing, step_timeout: Duration) -> OverRing {
    let config = twinspan_collective::NcclConfig {
        step_timeout,
        ..nccl_config()
    };
    let engine = NcclEngine::connect_with(&mut ring, config, Ok(parts().expect("a GPU")));
    OverRing {
        engine: engine.expect("an engine"),
        ring,
    }
}

/// A world of the one rank that a process may have on one GPU.
fn alone(size: u32, step_timeout: Duration) -> Vec<AnyRank> {
    let ring = rings(size, step_timeout).remove(0);
    vec![Box::new(connect(ring, step_timeout))]
}

#[test]
fn the_suite_holds_for_one_rank_on_one_gpu() {
    if let Err(reason) = parts() {
        return tell("the suite on a GPU", &reason);
    }
    for part in [
        conformance::sums,
        conformance::gathers,
        conformance::broadcasts,
        conformance::messages,
        conformance::barriers,
        conformance::series,
        conformance::misfit,
    ] {
        part(alone, 1..=1);
    }
}

/// The body of a child rank; without the variable there is nothing to test.
///
/// It does every collective, prints `done`, sums on the device until something fails, and prints
/// who is lost.
#[test]
fn child_rank() {
    let Ok(rank) = std::env::var(RANK) else {
        return;
    };
    let rank = Rank(rank.parse().expect("a number"));
    let mut over = connect(join_ring(rank), crate::worlds::PATIENCE);
    script(&mut over).expect("all ranks take part");
    device_collectives(&mut over.engine);
    println!("done");
    let deadline = Instant::now() + crate::worlds::BOUND;
    let memory = GpuNumbers::new(&[1.0; 1_000_000]);
    while Instant::now() < deadline {
        let summed = over.engine.all_reduce_sum_device(&memory.buffer());
        match summed.and_then(|()| over.engine.check()) {
            Ok(()) => {}
            Err(CollectiveError::PeerLost { peer, .. }) => return println!("lost {peer}"),
            Err(other) => return println!("failed {other}"),
        }
    }
    panic!("nothing failed");
}

/// Gathers and sums on the device, checked without a word to the engine in between: the copy back
/// is in order by itself.
fn device_collectives(engine: &mut NcclEngine) {
    let (me, world) = (engine.rank().0 as f32, engine.world_size().index());
    let ranks = || (0..world).map(|rank| rank as f32);
    for _ in 0..20 {
        let sum = GpuNumbers::new(&vec![me + 1.0; 100_000]);
        engine
            .all_reduce_sum_device(&sum.buffer())
            .expect("launched");
        let total: f32 = ranks().map(|rank| rank + 1.0).sum();
        assert!(sum.read().iter().all(|number| *number == total));
        let local = GpuNumbers::new(&[me; 1000]);
        let out = GpuNumbers::new(&vec![-1.0; 1000 * world]);
        engine
            .all_gather_device(&local.buffer(), &out.buffer())
            .expect("launched");
        let expected = ranks().flat_map(|rank| [rank; 1000]);
        assert!(out.read().into_iter().eq(expected));
    }
    engine.check().expect("nothing broke");
}

#[test]
fn two_processes_on_one_gpu_do_every_collective_and_a_killed_one_is_named() {
    if let Err(reason) = parts() {
        return tell("two ranks on a GPU", &reason);
    }
    let start = |rank: u32| {
        let fixed = [
            ("NCCL_NET", "Socket"),
            ("NCCL_SOCKET_IFNAME", "lo"),
            ("NCCL_P2P_DISABLE", "1"),
            ("NCCL_SHM_DISABLE", "1"),
        ];
        let mut variables = vec![
            (RANK, rank.to_string()),
            ("NCCL_HOSTID", format!("rank-{rank}")),
        ];
        variables.extend(fixed.map(|(name, value)| (name, value.to_owned())));
        Process::start_as("nccl::gpu::child_rank", &variables)
    };
    let mut processes: Vec<Process> = (0..2).map(start).collect();
    Process::introduce(&mut processes);
    for process in &processes {
        process.expect("done");
    }
    // SIGKILL: no farewell, no destructor.
    processes[1].child.kill().expect("the child lives");
    assert_eq!(processes[0].expect("lost"), "1");
}
