//! How a caller gives its thread work and waits for it: never without a bound, even where a call
//! into a library does not come back.

use super::DeviceBuffer;
use crate::abort::TICK;
use crate::{AbortHandle, CollectiveError, Operation};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};
use twinspan_types::Rank;

/// A caller waits for each of its calls, so there is one at a time; another for good measure.
pub(super) const QUEUE: usize = 2;
/// How long an aborted thread may take to free its caller, where a library holds it up.
const FREED: Duration = Duration::from_secs(2);

/// What a thread answers with.
pub(super) type Reply<T> = SyncSender<Result<T, CollectiveError>>;

/// Work on the caller's memory on the device.
pub(super) enum DeviceWork {
    /// `local` of every rank into `out`, rank by rank.
    Gather {
        local: DeviceBuffer,
        out: DeviceBuffer,
    },
    /// The sum over all ranks, in place.
    Sum(DeviceBuffer),
}

/// Work on bytes of the host, which come back changed.
pub(super) enum HostWork {
    /// As many bytes of every rank, rank by rank.
    Gather(Vec<u8>),
    /// The sum of f32 numbers.
    Sum(Vec<u8>),
    /// The root's bytes.
    Broadcast(Vec<u8>, Rank),
}

/// What a thread is given to do.
pub(super) enum Task {
    /// Answered when the device has been given the work.
    Device(DeviceWork, Reply<()>),
    /// Answered when it is done.
    Host(HostWork, Reply<Vec<u8>>),
}

/// A task with the collective that it belongs to.
pub(super) struct Command {
    pub operation: Operation,
    pub sequence: u64,
    pub task: Task,
}

/// Counts the rounds of a thread: one that stands still is held up by a library.
pub(super) type Pulse = Arc<AtomicU64>;

/// The caller's end. Dropping it tells the thread to end.
pub(super) struct Port {
    pub commands: SyncSender<Command>,
    pub pulse: Pulse,
    pub abort: AbortHandle,
    /// How long the thread may stand still.
    pub patience: Duration,
}

impl Port {
    /// Has a task done.
    pub fn call<T>(
        &self,
        (operation, sequence): (Operation, u64),
        task: impl FnOnce(Reply<T>) -> Task,
    ) -> Result<T, CollectiveError> {
        let (reply, answer) = sync_channel(1);
        let task = task(reply);
        let command = Command {
            operation,
            sequence,
            task,
        };
        match self.commands.try_send(command) {
            Ok(()) => {}
            Err(TrySendError::Disconnected(_)) => return Err(self.ended()),
            Err(TrySendError::Full(_)) => return Err(stuck("taking another collective")),
        }
        let stood = |waited| CollectiveError::Timeout {
            operation,
            sequence,
            waited,
        };
        self.wait(&answer, stood)
            .unwrap_or_else(|| Err(self.ended()))
    }

    /// Waits for the thread's answer; none when the thread has ended without one. `stood` is the
    /// error when the thread stood still for too long.
    pub fn wait<T, E: From<CollectiveError>>(
        &self,
        answer: &Receiver<Result<T, E>>,
        stood: impl FnOnce(Duration) -> CollectiveError,
    ) -> Option<Result<T, E>> {
        let (mut last, mut since) = (self.pulse.load(Ordering::Acquire), Instant::now());
        loop {
            match answer.recv_timeout(TICK) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let pulse = self.pulse.load(Ordering::Acquire);
            if pulse != last {
                (last, since) = (pulse, Instant::now());
                continue;
            }
            let waited = since.elapsed();
            match self.abort.check() {
                Err(error) if waited >= FREED => return Some(Err(error.into())),
                Ok(()) if waited >= self.patience => return Some(Err(stood(waited).into())),
                _ => {}
            }
        }
    }

    /// Why there is no thread any more.
    pub fn ended(&self) -> CollectiveError {
        match self.abort.check() {
            Err(error) => error,
            Ok(()) => stuck("asking NCCL's thread"),
        }
    }
}

fn stuck(doing: &str) -> CollectiveError {
    CollectiveError::Local {
        doing: doing.to_owned(),
        source: io::Error::other("NCCL's thread has ended, or does not come back from a library"),
    }
}
