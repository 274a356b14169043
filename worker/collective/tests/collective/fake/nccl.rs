//! NCCL whose ranks are engines of this process: operations meet in memory, on the streams of fake
//! GPUs.

#![expect(unsafe_code, reason = "NCCL's interface takes raw handles and memory")]

use super::gpu::{Flag, SharedGpu};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use twinspan_collective::nccl::{
    NcclApi, NcclStatus, NcclVersion, RawComm, RawStream, UNIQUE_ID, UniqueId,
};
use twinspan_types::{Rank, WorldSize};

/// How often a stuck operation looks whether it was aborted.
const LOOK: Duration = Duration::from_millis(5);
/// `ncclInvalidUsage`.
const INVALID_USAGE: u32 = 5;

/// What the ranks' libraries have between them.
#[derive(Default)]
pub struct Net {
    ids: AtomicU64,
    groups: Mutex<HashMap<[u8; UNIQUE_ID], Arc<Group>>>,
    /// Communicators that nobody has let go of.
    pub live: AtomicUsize,
}

impl Net {
    /// How many unique ids were minted.
    pub fn minted(&self) -> u64 {
        self.ids.load(Ordering::Relaxed)
    }
}

/// One communicator's ranks.
#[derive(Default)]
struct Group {
    state: Mutex<Meeting>,
    changed: Condvar,
}

#[derive(Default)]
struct Meeting {
    joined: u32,
    /// A rank has aborted: the connections to it are closed.
    broken: bool,
    /// By number: each rank's part of an operation.
    operations: HashMap<u64, Vec<Option<Vec<u8>>>>,
}

#[derive(Clone, Copy)]
enum Kind {
    Gather,
    Sum,
    Broadcast(Rank),
}

/// An operation that NCCL was called for.
struct Operation {
    kind: Kind,
    send: u64,
    receive: u64,
    bytes: usize,
    stream: RawStream,
}

struct Comm {
    group: Arc<Group>,
    rank: Rank,
    world: WorldSize,
    aborted: Arc<AtomicBool>,
    /// Polls until the last call is carried out.
    busy: u32,
    called: Option<Operation>,
    operations: u64,
    under_way: Arc<AtomicUsize>,
}

/// One rank's library, and how it behaves.
pub struct FakeNccl {
    net: Arc<Net>,
    gpu: SharedGpu,
    comms: Mutex<HashMap<usize, Comm>>,
    pub version: NcclVersion,
    /// Every call is in progress for so many polls.
    pub polls: u32,
    /// What joining fails with.
    pub join_error: Option<u32>,
    /// What the communicator says from now on, unless 0.
    pub error: AtomicU32,
    /// A poll that does not come back until it is raised.
    pub hangs: Mutex<Option<Arc<Flag>>>,
    /// Raised when a communicator was aborted.
    pub aborted: Flag,
}

impl FakeNccl {
    pub fn new(net: &Arc<Net>, gpu: &SharedGpu) -> Self {
        Self {
            net: Arc::clone(net),
            gpu: gpu.clone(),
            comms: Mutex::default(),
            version: NcclVersion::from_code(23_003),
            polls: 1,
            join_error: None,
            error: AtomicU32::new(0),
            hangs: Mutex::default(),
            aborted: Flag::default(),
        }
    }

    fn comm<T>(&self, comm: RawComm, act: impl FnOnce(&mut Comm) -> T) -> T {
        let mut comms = self.comms.lock().expect("no panic");
        act(comms.get_mut(&comm.0).expect("a live communicator"))
    }

    fn take(&self, comm: RawComm) -> Comm {
        let comm = self.comms.lock().expect("no panic").remove(&comm.0);
        self.net.live.fetch_sub(1, Ordering::Relaxed);
        comm.expect("a communicator is let go of once")
    }

    fn call(&self, raw: RawComm, operation: Operation) -> NcclStatus {
        let gpu = self.gpu.clone();
        let polls = self.polls;
        self.comm(raw, |comm| {
            let joined = comm.group.state.lock().expect("no panic").joined;
            if comm.busy > 0 || comm.called.is_some() || joined < comm.world.0 {
                return NcclStatus::Failed(INVALID_USAGE);
            }
            comm.busy = polls;
            comm.called = Some(operation);
            comm.carry_out(&gpu);
            match comm.busy {
                0 => NcclStatus::Success,
                _ => NcclStatus::InProgress,
            }
        })
    }
}

impl Comm {
    /// Gives the stream what was called for, once it is no longer in progress.
    fn carry_out(&mut self, gpu: &SharedGpu) {
        let Some(operation) = self.called.take_if(|_| self.busy == 0) else {
            return;
        };
        self.operations += 1;
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let (group, rank, world) = (Arc::clone(&self.group), self.rank, self.world);
        let (aborted, number) = (Arc::clone(&self.aborted), self.operations);
        let (under_way, memory) = (Arc::clone(&self.under_way), gpu.clone());
        gpu.enqueue(operation.stream, move || {
            let part = memory.read(operation.send, operation.bytes);
            if let Some(parts) = group.meet(number, rank, world, part, &aborted) {
                memory.write(operation.receive, &operation.kind.result(&parts));
            }
            under_way.fetch_sub(1, Ordering::AcqRel);
        });
    }
}

impl Group {
    /// Every rank's part, or none when this rank aborts.
    fn meet(
        &self,
        number: u64,
        rank: Rank,
        world: WorldSize,
        part: Vec<u8>,
        aborted: &AtomicBool,
    ) -> Option<Vec<Vec<u8>>> {
        let mut state = self.state.lock().expect("no panic");
        let parts = state.operations.entry(number);
        parts.or_insert_with(|| vec![None; world.index()])[rank.index()] = Some(part);
        self.changed.notify_all();
        loop {
            let parts = &state.operations[&number];
            if parts.iter().all(Option::is_some) {
                return Some(parts.iter().flatten().cloned().collect());
            }
            if aborted.load(Ordering::Acquire) {
                return None;
            }
            state = self.changed.wait_timeout(state, LOOK).expect("no panic").0;
        }
    }
}

impl Kind {
    fn result(self, parts: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Gather => parts.concat(),
            Self::Broadcast(root) => parts[root.index()].clone(),
            Self::Sum => {
                let number = |part: &[u8], place: usize| {
                    let word = part.as_chunks().0[place];
                    f32::from_le_bytes(word)
                };
                let count = parts[0].len() / size_of::<f32>();
                let sum = |place| parts.iter().map(|part| number(part, place)).sum::<f32>();
                (0..count)
                    .flat_map(|place| sum(place).to_le_bytes())
                    .collect()
            }
        }
    }
}

impl NcclApi for FakeNccl {
    fn version(&self) -> Result<NcclVersion, u32> {
        Ok(self.version)
    }

    fn unique_id(&self) -> Result<UniqueId, u32> {
        let number = self.net.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let mut id = [0; UNIQUE_ID];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Ok(UniqueId(id))
    }

    unsafe fn init(
        &self,
        world: WorldSize,
        id: &UniqueId,
        rank: Rank,
    ) -> (Option<RawComm>, NcclStatus) {
        if let Some(code) = self.join_error {
            return (None, NcclStatus::Failed(code));
        }
        let group = {
            let mut groups = self.net.groups.lock().expect("no panic");
            Arc::clone(groups.entry(id.0).or_default())
        };
        group.state.lock().expect("no panic").joined += 1;
        let comm = Comm {
            group,
            rank,
            world,
            aborted: Arc::default(),
            busy: self.polls,
            called: None,
            operations: 0,
            under_way: Arc::default(),
        };
        let mut comms = self.comms.lock().expect("no panic");
        let number = comms.len() + 1;
        comms.insert(number, comm);
        self.net.live.fetch_add(1, Ordering::Relaxed);
        (Some(RawComm(number)), NcclStatus::InProgress)
    }

    unsafe fn async_error(&self, raw: RawComm) -> NcclStatus {
        let hangs = self.hangs.lock().expect("no panic").clone();
        if let Some(flag) = hangs {
            flag.wait();
        }
        match self.error.load(Ordering::Acquire) {
            0 => {}
            code => return NcclStatus::Failed(code),
        }
        self.comm(raw, |comm| {
            let (joined, broken) = {
                let state = comm.group.state.lock().expect("no panic");
                (state.joined, state.broken)
            };
            if broken {
                return NcclStatus::Failed(NcclStatus::REMOTE_ERROR);
            }
            if joined < comm.world.0 {
                return NcclStatus::InProgress;
            }
            comm.busy = comm.busy.saturating_sub(1);
            comm.carry_out(&self.gpu);
            match comm.busy {
                0 => NcclStatus::Success,
                _ => NcclStatus::InProgress,
            }
        })
    }

    unsafe fn abort(&self, raw: RawComm) -> NcclStatus {
        let comm = self.take(raw);
        comm.aborted.store(true, Ordering::Release);
        comm.group.state.lock().expect("no panic").broken = true;
        comm.group.changed.notify_all();
        self.aborted.raise();
        NcclStatus::Success
    }

    unsafe fn destroy(&self, raw: RawComm) -> NcclStatus {
        let comm = self.take(raw);
        let under_way = comm.under_way.load(Ordering::Acquire);
        assert_eq!(under_way, 0, "what is destroyed has nothing under way");
        assert!(comm.busy == 0 && comm.called.is_none());
        NcclStatus::Success
    }

    unsafe fn all_gather(
        &self,
        send: u64,
        receive: u64,
        bytes: usize,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus {
        let operation = Operation {
            kind: Kind::Gather,
            send,
            receive,
            bytes,
            stream,
        };
        self.call(comm, operation)
    }

    unsafe fn all_reduce_sum(
        &self,
        buffer: u64,
        count: usize,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus {
        let operation = Operation {
            kind: Kind::Sum,
            send: buffer,
            receive: buffer,
            bytes: count * size_of::<f32>(),
            stream,
        };
        self.call(comm, operation)
    }

    unsafe fn broadcast(
        &self,
        buffer: u64,
        bytes: usize,
        root: Rank,
        comm: RawComm,
        stream: RawStream,
    ) -> NcclStatus {
        let operation = Operation {
            kind: Kind::Broadcast(root),
            send: buffer,
            receive: buffer,
            bytes,
            stream,
        };
        self.call(comm, operation)
    }

    fn describe(&self, code: u32) -> String {
        format!("fake NCCL error {code}")
    }
}
