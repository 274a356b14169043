//! Worlds of every engine, and running their ranks with a bound.

use crate::fake::{FakeGpu, FakeNccl, Net, SharedGpu};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use twinspan_collective::nccl::NcclParts;
use twinspan_collective::{
    AbortHandle, Collective, CollectiveError, NcclConfig, NcclEngine, RingConfig, RingListener,
    TcpRing, ThreadWorld,
};
use twinspan_types::{Generation, Nonce, Rank, WorldSize};

/// No test waits longer for anything.
pub const BOUND: Duration = Duration::from_secs(60);
/// The step timeout of tests that do not test it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One rank of any engine.
pub type AnyRank = Box<dyn Collective>;
/// Makes a world of so many ranks with that step timeout.
pub type Factory = fn(u32, Duration) -> Vec<AnyRank>;

/// The ranks of one process.
pub fn threads(size: u32, timeout: Duration) -> Vec<AnyRank> {
    let world = ThreadWorld::new(WorldSize(size), timeout);
    world
        .into_iter()
        .map(|rank| Box::new(rank) as AnyRank)
        .collect()
}

/// A ring over the loopback interface.
pub fn tcp(size: u32, timeout: Duration) -> Vec<AnyRank> {
    rings(size, timeout)
        .into_iter()
        .map(|ring| Box::new(ring) as AnyRank)
        .collect()
}

/// NCCL over fake libraries, with the rings that bring the ranks together.
pub fn nccl(size: u32, timeout: Duration) -> Vec<AnyRank> {
    let net = Arc::new(Net::default());
    let connect = rings(size, PATIENCE).into_iter().map(|mut ring| {
        let gpu = SharedGpu(Arc::new(FakeGpu::default()));
        let parts = NcclParts {
            nccl: Arc::new(FakeNccl::new(&net, &gpu)),
            cuda: Arc::new(gpu),
        };
        let config = NcclConfig {
            step_timeout: timeout,
            ..nccl_config()
        };
        move || {
            let engine = NcclEngine::connect_with(&mut ring, config, Ok(parts));
            Box::new(OverRing {
                engine: engine.expect("an engine"),
                ring,
            }) as AnyRank
        }
    });
    bounded(connect.collect())
}

/// Device 0 in generation 7.
pub fn nccl_config() -> NcclConfig {
    NcclConfig {
        device: 0,
        generation: Generation(7),
        connect_timeout: PATIENCE / 2,
        step_timeout: PATIENCE,
    }
}

/// An engine with the ring that it came together by, which is dropped after it.
pub struct OverRing {
    pub engine: NcclEngine,
    pub ring: TcpRing,
}

impl Collective for OverRing {
    fn rank(&self) -> Rank {
        self.engine.rank()
    }

    fn world_size(&self) -> WorldSize {
        self.engine.world_size()
    }

    fn abort_handle(&self) -> AbortHandle {
        self.engine.abort_handle()
    }

    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError> {
        self.engine.all_gather(local, counts, out)
    }

    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        self.engine.all_reduce_sum(buffer)
    }

    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        self.engine.broadcast(root, buffer)
    }

    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.engine.all_gather_bytes(local)
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.engine.barrier()
    }
}

/// Rings over the loopback interface.
pub fn rings(size: u32, timeout: Duration) -> Vec<TcpRing> {
    let listeners: Vec<RingListener> = (0..size)
        .map(|_| RingListener::bind("127.0.0.1").expect("a free port"))
        .collect();
    let members: Vec<String> = listeners.iter().map(|l| l.address().to_owned()).collect();
    let ranks = WorldSize(size).ranks().zip(listeners);
    let connect = ranks.map(|(rank, listener)| {
        let config = RingConfig {
            step_timeout: timeout,
            ..config(rank, &members)
        };
        move || TcpRing::connect(&listener, config)
    });
    let rings = bounded(connect.collect());
    rings
        .into_iter()
        .map(|ring| ring.expect("a ring"))
        .collect()
}

/// A configuration of generation 7.
pub fn config(rank: Rank, members: &[String]) -> RingConfig {
    RingConfig {
        rank,
        members: members.to_vec(),
        generation: Generation(7),
        token: Nonce(0x5eed),
        connect_timeout: PATIENCE,
        step_timeout: PATIENCE,
    }
}

/// Runs all jobs at the same time and returns their results in order; fails after [`BOUND`].
pub fn bounded<T: Send + 'static, J: FnOnce() -> T + Send + 'static>(jobs: Vec<J>) -> Vec<T> {
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<T>> = jobs.iter().map(|_| None).collect();
    for (index, job) in jobs.into_iter().enumerate() {
        let sender = sender.clone();
        thread::spawn(move || {
            let result = job();
            // Nobody listens only when the test has failed already.
            let _ = sender.send((index, result));
        });
    }
    drop(sender);
    for _ in 0..results.len() {
        let (index, result) = receiver
            .recv_timeout(BOUND)
            .expect("every job ends in time");
        results[index] = Some(result);
    }
    results
        .into_iter()
        .map(|result| result.expect("one result a job"))
        .collect()
}

/// Runs `act` on every rank at the same time; the ranks are dropped when all are done.
pub fn run<T: Send + 'static>(
    world: Vec<AnyRank>,
    act: impl Fn(&mut dyn Collective) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let jobs = world.into_iter().map(|mut rank| {
        let act = act.clone();
        move || (act(rank.as_mut()), rank)
    });
    bounded(jobs.collect())
        .into_iter()
        .map(|(result, _rank)| result)
        .collect()
}

/// As [`run`], for collectives that succeed.
pub fn run_well<T: Send + 'static>(
    world: Vec<AnyRank>,
    act: impl Fn(&mut dyn Collective) -> Result<T, CollectiveError> + Clone + Send + 'static,
) -> Vec<T> {
    run(world, act)
        .into_iter()
        .map(|result| result.expect("a collective that succeeds"))
        .collect()
}

/// A number in (-1, 1) with all its bits in use, the same in every run.
pub fn number(rank: Rank, index: usize) -> f32 {
    let seed = (u64::from(rank.0) << 40) ^ index as u64;
    let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40;
    mixed as f32 / (1 << 23) as f32 - 1.0
}

/// So many numbers of a rank.
pub fn numbers(rank: Rank, length: usize) -> Vec<f32> {
    (0..length).map(|index| number(rank, index)).collect()
}

/// Bytes that differ from rank to rank.
pub fn bytes(rank: Rank, length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index * 7 + rank.index() * 31 + index / 251) as u8)
        .collect()
}

/// Checks that every rank's sum of [`numbers`] is right, and the same bits.
pub fn assert_sums(sums: &[Vec<f32>], length: usize) {
    for index in 0..length {
        let parts = (0..sums.len() as u32).map(|rank| f64::from(number(Rank(rank), index)));
        let (sum, size) = parts.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
        let got = f64::from(sums[0][index]);
        assert!(
            (got - sum).abs() <= 1e-6 * size,
            "number {index}: {got} is not {sum}"
        );
    }
    for (rank, other) in sums.iter().enumerate() {
        assert_eq!(other.len(), length);
        let same = other
            .iter()
            .zip(&sums[0])
            .all(|(a, b)| a.to_bits() == b.to_bits());
        assert!(same, "rank {rank} has other bits than rank 0");
    }
}
