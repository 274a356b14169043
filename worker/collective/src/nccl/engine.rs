//! The engine as a rank's training loop has it.

use super::DeviceBuffer;
use super::fate::Fate;
use super::handles::PrimaryContext;
use super::header::Header;
use super::port::{DeviceWork, HostWork, Port, QUEUE, Task};
use super::thread::{Joining, Orders, run};
use crate::farewell::Farewell;
use crate::gate::{Gate, Gated};
use crate::layout::{Call, check_gather, check_message, check_root, part};
use crate::line::Line;
use crate::{AbortHandle, Collective, CollectiveError, MAX_MESSAGE, Operation};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;
use twinspan_types::{Rank, WorldSize};

/// Bytes that go through the staging blocks at a time; a multiple of a number's.
const SEGMENT: usize = 16 << 20;
/// How much longer than its work a thread may take to end.
const ENDING: Duration = Duration::from_secs(5);

/// One rank's part of a generation's NCCL communicator.
///
/// As a [`Collective`] it works on host memory, by copies to the device and back, and on top of that
/// on the caller's own device memory, in order with the work of the device's other streams.
/// Dropping it waits for what is under way, and tells the other ranks that this one is done.
pub struct NcclEngine {
    rank: Rank,
    world_size: WorldSize,
    gate: Gate,
    line: Line,
    fate: Arc<Fate>,
    /// None only while it is dropped.
    port: Option<Port>,
    /// Closed by the thread's end.
    ended: Receiver<()>,
    step_timeout: Duration,
}

impl NcclEngine {
    /// Starts the thread, and waits until it has joined the communicator.
    pub(super) fn join(orders: Orders, context: PrimaryContext) -> Result<Self, Joining> {
        let (sender, commands) = sync_channel(QUEUE);
        let (joined, answer) = sync_channel(1);
        let (ending, ended) = sync_channel(0);
        let port = Port {
            commands: sender,
            pulse: Default::default(),
            abort: orders.abort.clone(),
            patience: orders
                .config
                .step_timeout
                .max(orders.config.connect_timeout),
        };
        let (rank, world_size) = (orders.rank, orders.world);
        let (line, fate) = (orders.line.clone(), Arc::clone(&orders.fate));
        let (abort, pulse) = (port.abort.clone(), port.pulse.clone());
        let step_timeout = orders.config.step_timeout;
        let engine = Self {
            rank,
            world_size,
            gate: Gate::new(rank, abort),
            line,
            fate,
            port: Some(port),
            ended,
            step_timeout,
        };
        let named = thread::Builder::new().name(format!("nccl-{rank}"));
        let started = named.spawn(move || {
            run(orders, context, &commands, &joined, &pulse);
            drop(ending);
        });
        let outcome = match (started, &engine.port) {
            (Err(error), _) => Err(Joining::Refused(format!("no thread: {error}"))),
            (Ok(_), Some(port)) => {
                let stood = |waited| {
                    let cause = format!("NCCL has not come back from joining for {waited:?}");
                    CollectiveError::Poisoned { cause }
                };
                let gone = || Err(Joining::Refused("NCCL's thread has ended".to_owned()));
                port.wait(&answer, stood).unwrap_or_else(gone)
            }
            (Ok(_), None) => Ok(()),
        };
        match outcome {
            Ok(()) => Ok(engine),
            Err(joining) => {
                engine.discard();
                Err(joining)
            }
        }
    }

    /// This engine, now that all ranks have joined: from here on its end is the generation's.
    pub(super) fn agreed(mut self) -> Self {
        if let Some(port) = &mut self.port {
            port.patience = self.step_timeout;
        }
        self.fate.agree();
        self
    }

    /// Ends an engine that not all ranks have joined, without a word: the generation goes on.
    pub(super) fn discard(mut self) {
        self.line = Line::silent();
    }

    /// Gathers `local` of every rank, of one length on all, into `out`, rank by rank. It waits on
    /// the device for all that the device was given before, and all that it is given later waits
    /// for it; the host does not wait for it. [`NcclEngine::check`] and every later call say if it
    /// broke.
    ///
    /// # Errors
    /// As [`Collective::all_gather`]. Ranks that give different lengths are not noticed.
    pub fn all_gather_device(
        &mut self,
        local: &DeviceBuffer,
        out: &DeviceBuffer,
    ) -> Result<(), CollectiveError> {
        self.launch(|this, sequence| {
            let (world, length) = (this.world_size, local.len());
            if out.len() != length * world.index() {
                let (rank, room) = (this.rank, out.len());
                let detail = format!(
                    "all_gather_device on rank {rank} got room for {room} numbers, {length} of \
                     each of {world} ranks"
                );
                return Err(CollectiveError::Protocol { detail });
            }
            let (local, out) = (local.clone(), out.clone());
            let work = DeviceWork::Gather { local, out };
            this.on_device(Operation::AllGather, sequence, length, work)
        })
    }

    /// Replaces `buffer`, of one length on all ranks, by the sum over all ranks, in order with the
    /// device's other work as [`NcclEngine::all_gather_device`].
    ///
    /// # Errors
    /// As [`NcclEngine::all_gather_device`].
    pub fn all_reduce_sum_device(&mut self, buffer: &DeviceBuffer) -> Result<(), CollectiveError> {
        self.launch(|this, sequence| {
            let work = DeviceWork::Sum(buffer.clone());
            this.on_device(Operation::AllReduceSum, sequence, buffer.len(), work)
        })
    }

    /// Says whether something broke since the last call: an operation that ran too long, a rank
    /// that is gone, an abort. Whatever the device computed since then is worthless.
    ///
    /// # Errors
    /// As the next collective would fail.
    pub fn check(&mut self) -> Result<(), CollectiveError> {
        Gated::check(self)
    }

    fn on_device(
        &mut self,
        operation: Operation,
        sequence: u64,
        length: usize,
        work: DeviceWork,
    ) -> Result<(), CollectiveError> {
        if length == 0 {
            self.gate.abort_handle().complete(sequence);
            return Ok(());
        }
        self.call(operation, sequence, |reply| Task::Device(work, reply))
    }

    fn call<T>(
        &self,
        operation: Operation,
        sequence: u64,
        task: impl FnOnce(super::port::Reply<T>) -> Task,
    ) -> Result<T, CollectiveError> {
        match &self.port {
            Some(port) => port.call((operation, sequence), task),
            None => {
                let cause = "the engine is being dropped".to_owned();
                Err(CollectiveError::Poisoned { cause })
            }
        }
    }

    fn on_host(&self, call: Call, work: HostWork) -> Result<Vec<u8>, CollectiveError> {
        self.call(call.operation, call.sequence, |reply| {
            Task::Host(work, reply)
        })
    }

    /// Exchanges headers, by which ranks that disagree find out, and which bring the lengths.
    fn agree(&self, call: Call, length: usize) -> Result<Vec<Header>, CollectiveError> {
        let length = length as u64;
        let header = Header { call, length };
        let all = self.on_host(call, HostWork::Gather(header.encode().to_vec()))?;
        header.agree(self.rank, &all)
    }

    /// Gathers parts of these lengths. NCCL knows equal ones alone: every rank gives as many bytes
    /// as the longest has left, a segment at a time, and `take` gets what is some rank's.
    fn gather(
        &self,
        call: Call,
        local: &[u8],
        lengths: &[usize],
        mut take: impl FnMut(Rank, Range<usize>, &[u8]),
    ) -> Result<(), CollectiveError> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let step = SEGMENT / (self.world_size.index() + 1) + 1;
        for start in (0..longest).step_by(step) {
            let width = step.min(longest - start);
            let of = |length: usize| start.min(length)..(start + width).min(length);
            let mut padded = vec![0; width];
            let mine = &local[of(local.len())];
            padded[..mine.len()].copy_from_slice(mine);
            let all = self.on_host(call, HostWork::Gather(padded))?;
            for ((rank, piece), length) in
                self.world_size.ranks().zip(all.chunks(width)).zip(lengths)
            {
                let range = of(*length);
                let width = range.len();
                take(rank, range, &piece[..width]);
            }
        }
        Ok(())
    }

    /// Drops the port, which ends the thread, and waits for that: not for ever, as a library may
    /// hold it up.
    fn end(&mut self) {
        if self.port.take().is_none() {
            return;
        }
        let ending = self.ended.recv_timeout(self.step_timeout + ENDING);
        if ending == Err(RecvTimeoutError::Timeout) {
            let rank = self.rank.0;
            tracing::warn!(rank, "NCCL's thread does not end; its memory stays taken");
        }
    }
}

impl std::fmt::Debug for NcclEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            rank, world_size, ..
        } = self;
        write!(f, "NcclEngine of rank {rank} of {world_size}")
    }
}

impl Gated for NcclEngine {
    fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    fn leave(&mut self, farewell: &Farewell) {
        // The thread sees that the engine is poisoned, and aborts the communicator.
        self.line.leave(farewell);
    }
}

impl Drop for NcclEngine {
    fn drop(&mut self) {
        // What is under way counts as completed only when it is.
        self.end();
        if let Some(farewell) = self.gate.farewell_at_drop() {
            self.line.leave(&farewell);
        }
    }
}

impl Collective for NcclEngine {
    fn rank(&self) -> Rank {
        self.rank
    }

    fn world_size(&self) -> WorldSize {
        self.world_size
    }

    fn abort_handle(&self) -> AbortHandle {
        self.gate.abort_handle().clone()
    }

    fn line(&self) -> Line {
        self.line.clone()
    }

    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_gather(this.rank, this.world_size, local, counts, out)?;
            let call = Call::new(Operation::AllGather, sequence, size_of_val(out));
            let lengths: Vec<usize> = counts
                .iter()
                .map(|count| count * size_of::<f32>())
                .collect();
            let headers = this.agree(call, size_of_val(local))?;
            for ((header, length), rank) in headers.iter().zip(&lengths).zip(0..) {
                if header.length != *length as u64 {
                    let (me, theirs) = (this.rank, header.length);
                    let detail = format!(
                        "rank {me} expects {length} bytes of rank {rank}, which gives {theirs}"
                    );
                    return Err(CollectiveError::Protocol { detail });
                }
            }
            let local = bytemuck::cast_slice(local);
            this.gather(call, local, &lengths, |rank, range, bytes| {
                let out: &mut [u8] = bytemuck::cast_slice_mut(&mut out[part(counts, rank)]);
                out[range].copy_from_slice(bytes);
            })
        })
    }

    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            let call = Call::new(Operation::AllReduceSum, sequence, size_of_val(buffer));
            this.agree(call, 0)?;
            let buffer: &mut [u8] = bytemuck::cast_slice_mut(buffer);
            for piece in buffer.chunks_mut(SEGMENT) {
                piece.copy_from_slice(&this.on_host(call, HostWork::Sum(piece.to_vec()))?);
            }
            Ok(())
        })
    }

    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_root(this.rank, this.world_size, root)?;
            let call = Call {
                root,
                ..Call::new(Operation::Broadcast, sequence, buffer.len())
            };
            this.agree(call, 0)?;
            for piece in buffer.chunks_mut(SEGMENT) {
                let work = HostWork::Broadcast(piece.to_vec(), root);
                piece.copy_from_slice(&this.on_host(call, work)?);
            }
            Ok(())
        })
    }

    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.collective(|this, sequence| {
            check_message(this.rank, local)?;
            let call = Call::new(Operation::AllGatherBytes, sequence, 0);
            let headers = this.agree(call, local.len())?;
            let lengths = headers.iter().map(|header| header.length as usize);
            let lengths: Vec<usize> = lengths.collect();
            // A length from the network never sizes a buffer beyond the limit.
            if let Some(rank) = lengths.iter().position(|length| *length > MAX_MESSAGE) {
                let length = lengths[rank];
                let detail = format!("rank {rank} gives a message of {length} bytes");
                return Err(CollectiveError::Protocol { detail });
            }
            let mut messages: Vec<Vec<u8>> =
                lengths.iter().map(|&length| vec![0; length]).collect();
            this.gather(call, local, &lengths, |rank, range, bytes| {
                messages[rank.index()][range].copy_from_slice(bytes);
            })?;
            Ok(messages)
        })
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            // Nobody has all headers before all have come.
            this.agree(Call::new(Operation::Barrier, sequence, 0), 0)
                .map(drop)
        })
    }
}
