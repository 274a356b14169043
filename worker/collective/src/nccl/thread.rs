//! The thread that owns a communicator: it looks at NCCL, the stream, the abort handle and the
//! other ranks' line, tells the watch, and does what that says.

#![expect(unsafe_code, reason = "NCCL's functions take raw handles and memory")]

use super::fate::Fate;
use super::handles::{Device, Mark, PrimaryContext};
use super::port::{Command, DeviceWork, Pulse, Reply, Task};
use super::staging::Staging;
use super::watch::{Action, Event, Flight, Health, Limits, Ticket, Watch};
use super::{CudaFault, NcclConfig, NcclParts, NcclStatus, RawComm, UniqueId};
use crate::line::Line;
use crate::{AbortHandle, CollectiveError};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};
use twinspan_types::{Rank, WorldSize};

/// How often the line is listened to.
const LISTEN: Duration = Duration::from_millis(10);

/// What a thread is started with.
pub(super) struct Orders {
    pub parts: NcclParts,
    pub config: NcclConfig,
    pub rank: Rank,
    pub world: WorldSize,
    pub id: UniqueId,
    pub abort: AbortHandle,
    pub line: Line,
    pub fate: Arc<Fate>,
}

/// Why a rank has not joined.
#[derive(Debug, thiserror::Error)]
pub(super) enum Joining {
    /// NCCL or the driver would not.
    #[error("{0}")]
    Refused(String),
    /// The generation ended meanwhile.
    #[error(transparent)]
    Failed(#[from] CollectiveError),
}

/// Who is told that a rank has joined.
pub(super) type Joined = SyncSender<Result<(), Joining>>;

/// Joins, and serves until the port is dropped or something breaks.
pub(super) fn run(
    orders: Orders,
    context: PrimaryContext,
    commands: &Receiver<Command>,
    joined: &Joined,
    pulse: &Pulse,
) {
    match Device::enter(context) {
        Ok(device) => Shell::join(orders, device, joined).serve(commands, pulse),
        // Nobody listens only when the caller has given up.
        Err(fault) => drop(joined.send(Err(Joining::Refused(fault.to_string())))),
    }
}

/// An operation that NCCL was called for, with what it needs.
pub(super) struct InFlight {
    pub flight: Flight,
    /// Where the stream is past it; none before it is launched.
    pub end: Option<Mark>,
    pub work: Work,
}

pub(super) enum Work {
    /// The caller's memory, kept until the device is past it, and who is told of the launch.
    Device {
        _held: DeviceWork,
        launched: Option<Reply<()>>,
    },
    /// The part of the staging block that is the result, and who gets it.
    Host {
        result: Range<usize>,
        done: Reply<Vec<u8>>,
    },
}

/// The thread's own view of everything.
pub(super) struct Shell<'j> {
    pub orders: Orders,
    pub watch: Watch,
    pub device: Device,
    pub staging: Staging,
    pub comm: Option<RawComm>,
    pub flights: VecDeque<InFlight>,
    /// A command whose time has not come.
    pub waiting: Option<Command>,
    pub tickets: u64,
    listened: Instant,
    /// Taken when it has been used.
    joined: Option<&'j Joined>,
}

impl<'j> Shell<'j> {
    fn join(orders: Orders, device: Device, joined: &'j Joined) -> Self {
        let NcclConfig {
            generation,
            connect_timeout,
            step_timeout,
            ..
        } = orders.config;
        let limits = Limits {
            connect: connect_timeout,
            step: step_timeout,
        };
        let now = Instant::now();
        let (world, id, rank) = (orders.world, orders.id, orders.rank);
        // SAFETY: the device's context is current on this thread.
        let (comm, status) = unsafe { orders.parts.nccl.init(world, &id, rank) };
        let mut shell = Self {
            watch: Watch::new(generation, limits, now),
            orders,
            device,
            staging: Staging::default(),
            comm,
            flights: VecDeque::new(),
            waiting: None,
            tickets: 0,
            listened: now,
            joined: Some(joined),
        };
        shell.tell(Event::Polled(shell.health(status)));
        shell
    }

    fn serve(mut self, commands: &Receiver<Command>, pulse: &Pulse) {
        let mut leaving = false;
        while self.watch.is_alive() {
            pulse.fetch_add(1, Ordering::AcqRel);
            let pause = self.watch.pause(Instant::now());
            if leaving || self.waiting.is_some() {
                thread::sleep(pause);
            } else {
                match commands.recv_timeout(pause) {
                    Ok(command) => self.waiting = Some(command),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        leaving = true;
                        self.tell(Event::Leave);
                    }
                }
            }
            self.observe();
            self.begin();
        }
        self.settle();
    }

    /// Tells the watch, and does what it says.
    pub fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let generation = self.orders.config.generation;
            for action in self.watch.handle(Instant::now(), generation, event) {
                if let Err(fault) = self.perform(action) {
                    events.push_back(Event::DeviceFailed(fault.to_string()));
                }
            }
        }
    }

    /// Looks at everything that may have changed.
    fn observe(&mut self) {
        self.observe_stream();
        let abort = &self.orders.abort;
        if let Err(error) = abort.check() {
            let reason = match error {
                CollectiveError::Aborted { reason } => reason,
                other => other.to_string(),
            };
            self.tell(Event::Aborted(reason));
        } else if let Some(cause) = abort.poisoned() {
            let cause = cause.to_owned();
            self.tell(Event::Aborted(cause));
        }
        if self.listened.elapsed() >= LISTEN {
            self.listened = Instant::now();
            let sequence = self.orders.abort.sequence();
            if let Err(error) = self.orders.line.listen(sequence) {
                self.tell(Event::PeerGone(error));
            }
        }
        if let Some(comm) = self.comm {
            // SAFETY: the communicator lives as long as it is here.
            let status = unsafe { self.orders.parts.nccl.async_error(comm) };
            self.tell(Event::Polled(self.health(status)));
        }
        self.tell(Event::Tick);
    }

    /// Tells of every operation that the stream is past.
    fn observe_stream(&mut self) {
        let mut passed = None;
        for flight in &self.flights {
            match flight.end.as_ref().map(|end| self.device.is_past(end)) {
                Some(Ok(true)) => passed = Some(flight.flight.ticket),
                Some(Ok(false)) | None => break,
                Some(Err(fault)) => return self.tell(Event::DeviceFailed(fault.to_string())),
            }
        }
        if let Some(ticket) = passed {
            self.tell(Event::Passed(ticket));
        }
    }

    pub fn health(&self, status: NcclStatus) -> Health {
        let nccl = &self.orders.parts.nccl;
        match status {
            NcclStatus::Success => Health::Ready,
            NcclStatus::InProgress => Health::Busy,
            NcclStatus::Failed(
                code @ (NcclStatus::REMOTE_ERROR | NcclStatus::SYSTEM_ERROR | NcclStatus::TIMEOUT),
            ) => Health::Unlinked(nccl.describe(code)),
            NcclStatus::Failed(code) => Health::Broken(nccl.describe(code)),
        }
    }

    fn perform(&mut self, action: Action) -> Result<(), CudaFault> {
        match action {
            Action::Open => self.answer_join(Ok(())),
            Action::Refuse(text) => self.answer_join(Err(Joining::Refused(text))),
            Action::Launched(ticket) => return self.launched(ticket),
            Action::Completed(ticket) => self.completed(ticket),
            Action::Fail(error) => self.fail(&error),
            Action::Abort => {
                if let Some(comm) = self.comm.take() {
                    // SAFETY: the communicator lives, and is used no more.
                    let status = unsafe { self.orders.parts.nccl.abort(comm) };
                    tracing::debug!(rank = self.orders.rank.0, ?status, "communicator aborted");
                }
            }
            Action::Destroy => {
                if let Some(comm) = self.comm.take() {
                    // SAFETY: the communicator lives, has nothing under way, and is used no more.
                    let status = unsafe { self.orders.parts.nccl.destroy(comm) };
                    tracing::debug!(rank = self.orders.rank.0, ?status, "communicator destroyed");
                }
            }
        }
        Ok(())
    }

    /// A collective on device memory is not completed when its call returns.
    pub fn say_what_is_under_way(&self) {
        let mut on_device = self
            .flights
            .iter()
            .filter(|flight| matches!(flight.work, Work::Device { .. }));
        let first = on_device.next().map(|first| first.flight.sequence);
        self.orders.abort.set_under_way(first);
    }

    fn answer_join(&mut self, answer: Result<(), Joining>) {
        if let Some(joined) = self.joined.take() {
            // Nobody listens only when the caller has given up.
            let _ = joined.send(answer);
        }
    }

    fn launched(&mut self, ticket: Ticket) -> Result<(), CudaFault> {
        let mut flights = self.flights.iter_mut();
        let Some(flight) = flights.find(|flight| flight.flight.ticket == ticket) else {
            return Ok(());
        };
        if let Work::Host { result, .. } = &flight.work {
            self.staging.fetch(&self.device, result.clone())?;
        }
        let end = flight.end.insert(self.device.mark()?);
        if let Work::Device { launched, .. } = &mut flight.work {
            self.device.lead_context(end)?;
            if let Some(launched) = launched.take() {
                let _ = launched.send(Ok(()));
            }
        }
        Ok(())
    }

    fn completed(&mut self, ticket: Ticket) {
        let first = self.flights.pop_front();
        let Some(InFlight { flight, end, work }) = first else {
            return;
        };
        debug_assert_eq!(
            flight.ticket, ticket,
            "the stream keeps the order of operations"
        );
        if let Some(end) = end {
            self.device.forget(end);
        }
        match work {
            Work::Host { result, done } => drop(done.send(Ok(self.staging.read(result)))),
            Work::Device { .. } => self.orders.abort.complete(flight.sequence),
        }
        self.say_what_is_under_way();
    }

    /// Tells all who wait, all who come, and the other ranks.
    fn fail(&mut self, error: &CollectiveError) {
        if let Some(joined) = self.joined.take() {
            let _ = joined.send(Err(Joining::Failed(error.again())));
            return;
        }
        self.orders.fate.fail(error);
        for flight in &mut self.flights {
            match &mut flight.work {
                Work::Device { launched, .. } => {
                    if let Some(launched) = launched.take() {
                        let _ = launched.send(Err(error.again()));
                    }
                }
                Work::Host { done, .. } => drop(done.send(Err(error.again()))),
            }
        }
        match self.waiting.take().map(|command| command.task) {
            Some(Task::Device(_, reply)) => drop(reply.send(Err(error.again()))),
            Some(Task::Host(_, reply)) => drop(reply.send(Err(error.again()))),
            None => {}
        }
    }

    /// Lets go of all memory, once the device is past it.
    fn settle(mut self) {
        // What the stream waits for of the device's other work is bounded as a step is.
        let until = Instant::now() + self.orders.config.step_timeout;
        // An error means that the device does nothing more.
        if let Ok(end) = self.device.mark() {
            while let Ok(false) = self.device.is_past(&end) {
                if Instant::now() >= until {
                    let rank = self.orders.rank.0;
                    tracing::warn!(
                        rank,
                        "the GPU does not end an aborted collective; its memory stays taken"
                    );
                    std::mem::forget((self.flights, self.staging, self.device));
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            self.device.forget(end);
        }
        for end in self.flights.drain(..).filter_map(|flight| flight.end) {
            self.device.forget(end);
        }
        self.staging.free(&self.device);
    }
}
