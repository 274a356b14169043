//! The engine for ranks that are threads of one process: tests and single-process runs.

use crate::abort::TICK;
use crate::farewell::Farewell;
use crate::gate::{Gate, Gated};
use crate::layout::{Call, check_gather, check_message, check_root, part};
use crate::line::{Hearing, Line};
use crate::{AbortHandle, Collective, CollectiveError, Operation};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use twinspan_types::{Rank, WorldSize};

/// Makes the ranks of one process.
#[derive(Debug, Clone, Copy)]
pub struct ThreadWorld;

impl ThreadWorld {
    /// One collective for each rank, in the order of ranks; `timeout` bounds every call.
    #[must_use]
    #[expect(clippy::new_ret_no_self, reason = "a world is nothing but its ranks")]
    pub fn new(world_size: WorldSize, timeout: Duration) -> Vec<ThreadCollective> {
        let meeting = Arc::new(Meeting {
            state: Mutex::new(State {
                blocks: vec![None; world_size.index()],
                call: None,
                published: None,
                farewell: None,
            }),
            changed: Condvar::new(),
        });
        let rank = |rank| ThreadCollective {
            rank,
            world_size,
            timeout,
            meeting: Arc::clone(&meeting),
            gate: Gate::new(rank, AbortHandle::new()),
        };
        world_size.ranks().map(rank).collect()
    }
}

/// One rank of a [`ThreadWorld`].
#[derive(Debug)]
pub struct ThreadCollective {
    rank: Rank,
    world_size: WorldSize,
    timeout: Duration,
    meeting: Arc<Meeting>,
    gate: Gate,
}

/// Every rank's bytes, by rank.
type Blocks = Arc<Vec<Vec<u8>>>;

/// Where the ranks lay down their parts; the last to come publishes them all.
#[derive(Debug)]
struct Meeting {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The parts that are there, by rank.
    blocks: Vec<Option<Vec<u8>>>,
    /// What the first to come calls this collective.
    call: Option<(Rank, Call)>,
    /// The last whole collective. It cannot be overwritten before all have read it: the next one
    /// needs a part from every rank.
    published: Option<(u64, Blocks)>,
    /// Set by the first rank that leaves.
    farewell: Option<Farewell>,
}

impl Meeting {
    /// Nobody panics with the lock held half-way through a change, so a poisoned lock is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, farewell: &Farewell) {
        self.lock().farewell.get_or_insert_with(|| farewell.clone());
        self.changed.notify_all();
    }
}

impl Hearing for Meeting {
    fn listen(&self, sequence: u64) -> Result<(), CollectiveError> {
        let word = self.lock().farewell.clone();
        match word.filter(|word| word.completed < sequence) {
            Some(word) => Err(word.into_error()),
            None => Ok(()),
        }
    }

    fn leave(&self, farewell: &Farewell) {
        self.say(farewell);
    }
}

impl ThreadCollective {
    /// Lays down this rank's bytes and waits for everybody's.
    fn meet(&self, call: Call, local: Vec<u8>) -> Result<Blocks, CollectiveError> {
        let started = Instant::now();
        let mut state = self.meeting.lock();
        if let Some(farewell) = state.farewell.clone() {
            return Err(farewell.into_error());
        }
        match state.call {
            Some((other, expected)) if expected != call => {
                let rank = self.rank;
                let detail = format!("rank {rank} calls {call}, rank {other} calls {expected}");
                return Err(CollectiveError::Protocol { detail });
            }
            Some(_) => {}
            None => state.call = Some((self.rank, call)),
        }
        state.blocks[self.rank.index()] = Some(local);
        if state.blocks.iter().all(Option::is_some) {
            let blocks = state.blocks.iter_mut().filter_map(Option::take).collect();
            state.published = Some((call.sequence, Arc::new(blocks)));
            state.call = None;
            self.meeting.changed.notify_all();
        }
        loop {
            if let Some((sequence, blocks)) = &state.published
                && *sequence == call.sequence
            {
                return Ok(Arc::clone(blocks));
            }
            if let Some(farewell) = state.farewell.clone() {
                return Err(farewell.into_error());
            }
            self.gate.abort_handle().check()?;
            let waited = started.elapsed();
            if waited >= self.timeout {
                let Call {
                    operation,
                    sequence,
                    ..
                } = call;
                return Err(CollectiveError::Timeout {
                    operation,
                    sequence,
                    waited,
                });
            }
            let pause = TICK.min(self.timeout - waited);
            let waking = self.meeting.changed.wait_timeout(state, pause);
            state = waking.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn is_alone(&self) -> bool {
        self.world_size == WorldSize(1)
    }
}

impl Gated for ThreadCollective {
    fn gate(&mut self) -> &mut Gate {
        &mut self.gate
    }

    fn leave(&mut self, farewell: &Farewell) {
        self.meeting.say(farewell);
    }
}

impl Drop for ThreadCollective {
    fn drop(&mut self) {
        if let Some(farewell) = self.gate.farewell_at_drop() {
            self.leave(&farewell);
        }
    }
}

impl Collective for ThreadCollective {
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
        Line::through(&self.meeting)
    }

    fn all_gather(
        &mut self,
        local: &[f32],
        counts: &[usize],
        out: &mut [f32],
    ) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_gather(this.rank, this.world_size, local, counts, out)?;
            if this.is_alone() {
                out.copy_from_slice(local);
                return Ok(());
            }
            let call = Call::new(Operation::AllGather, sequence, size_of_val(out));
            let blocks = this.meet(call, bytemuck::cast_slice(local).to_vec())?;
            for (other, block) in this.world_size.ranks().zip(blocks.iter()) {
                let part: &mut [u8] = bytemuck::cast_slice_mut(&mut out[part(counts, other)]);
                if part.len() != block.len() {
                    let (rank, expected, got) = (this.rank, part.len(), block.len());
                    let detail = format!(
                        "rank {rank} expects {expected} bytes of rank {other}, which gave {got}"
                    );
                    return Err(CollectiveError::Protocol { detail });
                }
                part.copy_from_slice(block);
            }
            Ok(())
        })
    }

    fn all_reduce_sum(&mut self, buffer: &mut [f32]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            if this.is_alone() {
                return Ok(());
            }
            let call = Call::new(Operation::AllReduceSum, sequence, size_of_val(buffer));
            let blocks = this.meet(call, bytemuck::cast_slice(buffer).to_vec())?;
            // From rank 0 upwards, on every rank alike.
            for (index, block) in blocks.iter().enumerate() {
                let numbers = block
                    .as_chunks()
                    .0
                    .iter()
                    .map(|bytes| f32::from_le_bytes(*bytes));
                for (sum, number) in buffer.iter_mut().zip(numbers) {
                    *sum = if index == 0 { number } else { *sum + number };
                }
            }
            Ok(())
        })
    }

    fn broadcast(&mut self, root: Rank, buffer: &mut [u8]) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            check_root(this.rank, this.world_size, root)?;
            if this.is_alone() {
                return Ok(());
            }
            let call = Call {
                root,
                ..Call::new(Operation::Broadcast, sequence, buffer.len())
            };
            let local = if this.rank == root {
                buffer.to_vec()
            } else {
                Vec::new()
            };
            buffer.copy_from_slice(&this.meet(call, local)?[root.index()]);
            Ok(())
        })
    }

    fn all_gather_bytes(&mut self, local: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.collective(|this, sequence| {
            check_message(this.rank, local)?;
            if this.is_alone() {
                return Ok(vec![local.to_vec()]);
            }
            let call = Call::new(Operation::AllGatherBytes, sequence, 0);
            Ok(this.meet(call, local.to_vec())?.as_ref().clone())
        })
    }

    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.collective(|this, sequence| {
            if this.is_alone() {
                return Ok(());
            }
            this.meet(Call::new(Operation::Barrier, sequence, 0), Vec::new())
                .map(drop)
        })
    }
}
