//! The engine between processes and machines: a ring over TCP.
//!
//! Every rank connects to the next one and accepts the previous one, so data travels in one
//! direction: from the left neighbour, to the right neighbour. The other direction of each
//! connection stays silent until a rank leaves: it then says why to its left neighbour, which
//! leaves too and passes it on. A closed connection without that word is a lost peer.

mod connect;
mod frame;
mod handshake;
mod header;
mod links;
mod listener;

pub use listener::RingListener;

use crate::farewell::Farewell;
use crate::gate::{Gate, Gated};
use crate::layout::{Call, check_gather, check_message, check_root, chunk, disjoint, part};
use crate::line::{Hearing, Line};
use crate::{AbortHandle, Collective, CollectiveError, Operation};
use connect::Limits;
use frame::Sink;
use handshake::Hello;
use links::Links;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};
use twinspan_types::{Generation, Nonce, Rank, WorldSize};

/// Bytes of a broadcast that a rank forwards at a time.
const SEGMENT: usize = 512 << 10;
/// Numbers that a sum takes from the network at a time: 256 KiB, so that they stay in the cache.
const SCRATCH: usize = 64 << 10;

/// One generation's ring as a rank sees it.
#[derive(Debug, Clone)]
pub struct RingConfig {
    /// This rank.
    pub rank: Rank,
    /// `host:port` of every rank's listener, by rank.
    pub members: Vec<String>,
    /// The generation; connections of another one are refused.
    pub generation: Generation,
    /// The generation's token; connections without it are refused.
    pub token: Nonce,
    /// How long to try to reach both neighbours.
    pub connect_timeout: Duration,
    /// How long a collective may stand still. It bounds the wait for the slowest rank, so it must be
    /// longer than the time between two collectives on any rank.
    pub step_timeout: Duration,
}

/// One rank's part of the ring of a generation. Dropping it tells the neighbours that this rank is
/// done.
#[derive(Debug)]
pub struct TcpRing {
    rank: Rank,
    world_size: WorldSize,
    /// None in a world of one rank.
    links: Option<Arc<Mutex<Links>>>,
    /// Reused by every sum.
    scratch: Vec<f32>,
    gate: Gate,
}

impl TcpRing {
    /// Links this rank with both neighbours.
    ///
    /// # Errors
    /// [`CollectiveError::Connect`] when a neighbour cannot be reached, or does not come, within
    /// the connect timeout; [`CollectiveError::Protocol`] when the rank is not among the members.
    pub fn connect(listener: &RingListener, config: RingConfig) -> Result<Self, CollectiveError> {
        Self::connect_abortable(listener, config, AbortHandle::new())
    }

    /// As [`TcpRing::connect`]; `abort` also ends the connecting, within two seconds and without a
    /// host that swallows packets within 100 ms, and becomes the ring's handle.
    ///
    /// # Errors
    /// As [`TcpRing::connect`], and [`CollectiveError::Aborted`].
    pub fn connect_abortable(
        listener: &RingListener,
        config: RingConfig,
        abort: AbortHandle,
    ) -> Result<Self, CollectiveError> {
        let RingConfig {
            rank,
            members,
            generation,
            token,
            connect_timeout,
            step_timeout,
        } = config;
        let world_size = WorldSize(u32::try_from(members.len()).unwrap_or(u32::MAX));
        if rank.0 >= world_size.0 {
            let detail = format!("rank {rank} of a world with {world_size} members");
            return Err(CollectiveError::Protocol { detail });
        }
        let (links, scratch) = match world_size {
            WorldSize(1) => (None, Vec::new()),
            _ => {
                let limits = Limits {
                    started: Instant::now(),
                    timeout: connect_timeout,
                    abort: &abort,
                };
                let hello = Hello {
                    from: rank,
                    to: rank,
                    world_size,
                    generation,
                    token,
                };
                let (left, right) = connect::neighbours(listener, &members, &hello, &limits)?;
                let links = Links::new(rank, world_size, left, right, step_timeout, abort.clone());
                (Some(Arc::new(Mutex::new(links))), vec![0.0; SCRATCH])
            }
        };
        Ok(Self {
            rank,
            world_size,
            links,
            scratch,
            gate: Gate::new(rank, abort),
        })
    }

    /// The rank `distance` places to the left.
    fn left_by(&self, distance: u32) -> Rank {
        Rank((self.rank.0 + self.world_size.0 - distance % self.world_size.0) % self.world_size.0)
    }

    /// Passes every rank's block once round the ring: in round s the block of the rank s to the left
    /// of `start` goes out and the one beside it comes in, into its place in `buffer`.
    fn circulate(
        &mut self,
        call: Call,
        first_round: u32,
        start: u32,
        buffer: &mut [f32],
        place: impl Fn(Rank) -> std::ops::Range<usize>,
    ) -> Result<(), CollectiveError> {
        for round in 0..self.world_size.0 - 1 {
            let (out, into) = (self.left_by(start + round), self.left_by(start + round + 1));
            let (send, receive) = disjoint(buffer, place(out), place(into));
            let Some(mut links) = self.links.as_deref().map(lock) else {
                return Ok(());
            };
            let receive = Sink::Into(bytemuck::cast_slice_mut(receive));
            let round = first_round + round;
            links.exchange(
                call,
                Some((round, bytemuck::cast_slice(send))),
                Some((round, receive)),
            )?;
        }
        Ok(())
    }

    /// The first half of a sum: afterwards this rank holds the whole sum of the chunk of its right
    /// neighbour's number. Chunk c is summed along the ring from rank c on.
    fn reduce_scatter(&mut self, call: Call, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        let (length, world) = (buffer.len(), self.world_size);
        for round in 0..world.0 - 1 {
            let (out, into) = (self.left_by(round), self.left_by(round + 1));
            let (send, sum) = disjoint(
                buffer,
                chunk(length, world, out),
                chunk(length, world, into),
            );
            let Some(mut links) = self.links.as_deref().map(lock) else {
                return Ok(());
            };
            let receive = Sink::Add {
                sum,
                scratch: &mut self.scratch,
            };
            links.exchange(
                call,
                Some((round, bytemuck::cast_slice(send))),
                Some((round, receive)),
            )?;
        }
        Ok(())
    }

    /// Forwards the root's buffer along the ring, segment by segment: while one goes out the next
    /// comes in.
    fn forward(&mut self, call: Call, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        let (world, length) = (self.world_size, buffer.len());
        let distance = (self.rank.0 + world.0 - call.root.0) % world.0;
        let (is_root, is_last) = (distance == 0, distance == world.0 - 1);
        // An empty buffer still travels as one empty segment: the ranks stay in step.
        let segments = length.div_ceil(SEGMENT).max(1);
        let segment = |index: usize| index * SEGMENT..length.min((index + 1) * SEGMENT);
        for turn in 0..=segments {
            let incoming = (!is_root && turn < segments).then_some(turn);
            let outgoing = turn.checked_sub(usize::from(!is_root));
            let outgoing = outgoing.filter(|&index| !is_last && index < segments);
            let (send, receive) = disjoint(
                buffer,
                outgoing.map_or(0..0, segment),
                incoming.map_or(length..length, segment),
            );
            let Some(mut links) = self.links.as_deref().map(lock) else {
                return Ok(());
            };
            let round = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
            links.exchange(
                call,
                outgoing.map(|index| (round(index), send)),
                incoming.map(|index| (round(index), Sink::Into(receive))),
            )?;
        }
        Ok(())
    }
}

/// The ring's own thread holds it through an exchange, a line's for a moment.
fn lock(links: &Mutex<Links>) -> MutexGuard<'_, Links> {
    links.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hearing for Mutex<Links> {
    fn listen(&self, sequence: u64) -> Result<(), CollectiveError> {
        // While the ring is in an exchange it hears for itself, and what it hears poisons both.
        match self.try_lock() {
            Ok(mut links) => links.listen(sequence),
            Err(TryLockError::Poisoned(links)) => links.into_inner().listen(sequence),
            Err(TryLockError::WouldBlock) => Ok(()),
        }
    }

    fn leave(&self, farewell: &Farewell) {
        match self.try_lock() {
            Ok(links) => links.leave(farewell),
            Err(TryLockError::Poisoned(links)) => links.into_inner().leave(farewell),
            // The ring's exchange meets the same error at its next look, and leaves for both.
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

impl Gated for TcpRing {
    fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    fn leave(&mut self, farewell: &Farewell) {
        if let Some(links) = self.links.as_deref() {
            lock(links).leave(farewell);
        }
    }
}

impl Drop for TcpRing {
    fn drop(&mut self) {
        if let Some(farewell) = self.gate.farewell_at_drop() {
            self.leave(&farewell);
        }
    }
}

impl Collective for TcpRing {
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
        self.links.as_ref().map_or_else(Line::silent, Line::through)
    }

    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_gather(this.rank, this.world_size, local, counts, out)?;
            out[part(counts, this.rank)].copy_from_slice(local);
            let call = Call::new(Operation::AllGather, sequence, size_of_val(out));
            this.circulate(call, 0, 0, out, |rank| part(counts, rank))
        })
    }

    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            let (length, world) = (buffer.len(), this.world_size);
            let call = Call::new(Operation::AllReduceSum, sequence, size_of_val(buffer));
            this.reduce_scatter(call, buffer)?;
            // This rank's whole chunk is its right neighbour's, that is world - 1 to the left.
            this.circulate(call, world.0 - 1, world.0 - 1, buffer, |rank| {
                chunk(length, world, rank)
            })
        })
    }

    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_root(this.rank, this.world_size, root)?;
            let call = Call {
                root,
                ..Call::new(Operation::Broadcast, sequence, buffer.len())
            };
            this.forward(call, buffer)
        })
    }

    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.collective(|this, sequence| {
            check_message(this.rank, local)?;
            let mut messages = vec![Vec::new(); this.world_size.index()];
            messages[this.rank.index()] = local.to_vec();
            let call = Call::new(Operation::AllGatherBytes, sequence, 0);
            for round in 0..this.world_size.0 - 1 {
                let (out, into) = (this.left_by(round), this.left_by(round + 1));
                let mut message = Vec::new();
                let Some(mut links) = this.links.as_deref().map(lock) else {
                    break;
                };
                links.exchange(
                    call,
                    Some((round, &messages[out.index()])),
                    Some((round, Sink::Message(&mut message))),
                )?;
                messages[into.index()] = message;
            }
            Ok(messages)
        })
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            // After world - 1 rounds every rank has heard, through its neighbours, from all.
            let call = Call::new(Operation::Barrier, sequence, 0);
            this.circulate(call, 0, 0, &mut [], |_| 0..0)
        })
    }
}
