//! The life of one communicator as a state machine: it is told what happens and says what to do.
//! It has no clock, no thread and no library, so every order of events can be tried.
//!
//! A communicator belongs to one generation and lives once: it joins, is open for operations, and
//! is closed, either in good order or by force. Nothing leads back from there.

use crate::{CollectiveError, Operation};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};
use twinspan_types::Generation;

/// How long the other ranks' word is waited for when NCCL says that one is gone, and not which.
pub(crate) const WORD_WAIT: Duration = Duration::from_millis(300);
/// The shortest and the longest time between two looks at what is under way.
const PAUSES: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(1));
/// How often a communicator that does nothing is looked after.
const IDLE: Duration = Duration::from_millis(20);

/// Operations that may be under way at a time: a caller that is further ahead of the device waits.
const MOST_PENDING: usize = 256;

/// How long a communicator may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Until all ranks have joined.
    pub connect: Duration,
    /// Without progress, while operations are under way.
    pub step: Duration,
}

/// Tells the operations of one communicator apart; a collective may need several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(pub u64);

/// An operation that NCCL was called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flight {
    pub ticket: Ticket,
    pub operation: Operation,
    /// The collective's number.
    pub sequence: u64,
}

/// What NCCL says of the communicator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// The last call is carried out.
    Ready,
    /// The last call is being carried out.
    Busy,
    /// Another rank, or the way to it, is gone.
    Unlinked(String),
    /// This rank's NCCL cannot go on.
    Broken(String),
}

/// What happens to a communicator.
#[derive(Debug)]
pub(crate) enum Event {
    /// NCCL was asked how the communicator is.
    Polled(Health),
    /// NCCL was called for an operation, and answered.
    Called(Flight, Health),
    /// The stream is past an operation.
    Passed(Ticket),
    /// The caller, or the coordinator through it, wants no more.
    Aborted(String),
    /// Word of a rank that is gone, or has left.
    PeerGone(CollectiveError),
    /// The driver refused something.
    DeviceFailed(String),
    /// The caller is done with the generation.
    Leave,
    /// Time has passed.
    Tick,
}

/// What to do, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// All ranks have joined: operations may come.
    Open,
    /// It could not be joined, for a reason that another engine may not have.
    Refuse(String),
    /// An operation is on the stream: record its end, and let its caller go.
    Launched(Ticket),
    /// An operation is done: let go of its buffers.
    Completed(Ticket),
    /// Nothing more will work in this generation: tell all who wait, and all who come.
    Fail(CollectiveError),
    /// Free the communicator by force, which ends what runs on the device. At most once.
    Abort,
    /// Free the communicator in good order. At most once, and never with [`Action::Abort`].
    Destroy,
}

#[derive(Debug)]
struct Pending {
    flight: Flight,
    launched: bool,
}

#[derive(Debug)]
enum State {
    Joining {
        since: Instant,
    },
    Open {
        /// In the order of the stream; only the last may not be launched yet.
        pending: VecDeque<Pending>,
        /// When something last went forward.
        moved_at: Instant,
        /// Until when what is under way may still end.
        leaving: Option<Instant>,
    },
    /// NCCL says that a rank is gone; the ring may say which.
    Asking {
        until: Instant,
        otherwise: CollectiveError,
    },
    Closed,
}

/// One communicator as it is seen from its thread.
#[derive(Debug)]
pub(crate) struct Watch {
    generation: Generation,
    limits: Limits,
    state: State,
}

impl Watch {
    /// A communicator of this generation that begins to join.
    pub fn new(generation: Generation, limits: Limits, now: Instant) -> Self {
        let state = State::Joining { since: now };
        Self {
            generation,
            limits,
            state,
        }
    }

    /// Whether NCCL may be called for an operation: a call on a communicator that is still busy
    /// with the last one is refused for good, and what is under way has a bound.
    pub fn takes_calls(&self) -> bool {
        match &self.state {
            State::Open {
                pending,
                leaving: None,
                ..
            } => pending.len() < MOST_PENDING && pending.back().is_none_or(|last| last.launched),
            _ => false,
        }
    }

    /// Whether NCCL is to be asked how the communicator is.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, State::Closed)
    }

    /// Whether all that NCCL was called for is done.
    pub fn is_idle(&self) -> bool {
        matches!(&self.state, State::Open { pending, .. } if pending.is_empty())
    }

    /// When to look again: soon where an operation has just begun, later where it takes its time.
    pub fn pause(&self, now: Instant) -> Duration {
        let begun = match &self.state {
            State::Joining { since } => *since,
            State::Open {
                pending, moved_at, ..
            } if !pending.is_empty() => *moved_at,
            State::Asking { .. } => return PAUSES.1,
            State::Open { .. } | State::Closed => return IDLE,
        };
        (now.saturating_duration_since(begun) / 8).clamp(PAUSES.0, PAUSES.1)
    }

    /// Takes in what happened to the communicator of a generation. What concerns another one
    /// changes nothing, and neither does anything after the end.
    pub fn handle(&mut self, now: Instant, generation: Generation, event: Event) -> Vec<Action> {
        if generation != self.generation {
            return Vec::new();
        }
        match &self.state {
            State::Joining { since } => self.while_joining(*since, now, event),
            State::Open { .. } => self.while_open(now, event),
            State::Asking { until, .. } => self.while_asking(*until, now, event),
            State::Closed => Vec::new(),
        }
    }

    fn while_joining(&mut self, since: Instant, now: Instant, event: Event) -> Vec<Action> {
        let waited = now.saturating_duration_since(since);
        match event {
            Event::Polled(Health::Ready) => {
                self.state = State::Open {
                    pending: VecDeque::new(),
                    moved_at: now,
                    leaving: None,
                };
                vec![Action::Open]
            }
            Event::Polled(Health::Unlinked(text) | Health::Broken(text)) => self.refuse(text),
            Event::DeviceFailed(text) => self.refuse(text),
            Event::Aborted(reason) => self.fail(CollectiveError::Aborted { reason }),
            Event::PeerGone(error) => self.fail(error),
            Event::Leave => self.close(),
            Event::Polled(Health::Busy) | Event::Tick if waited >= self.limits.connect => self
                .refuse(format!(
                    "NCCL's ranks have not come together for {waited:?}"
                )),
            Event::Polled(Health::Busy) | Event::Tick | Event::Called(..) | Event::Passed(_) => {
                Vec::new()
            }
        }
    }

    fn while_open(&mut self, now: Instant, event: Event) -> Vec<Action> {
        let State::Open {
            pending,
            moved_at,
            leaving,
        } = &mut self.state
        else {
            return Vec::new();
        };
        match event {
            Event::Called(flight, health) => {
                if pending.is_empty() {
                    *moved_at = now;
                }
                pending.push_back(Pending {
                    flight,
                    launched: false,
                });
                self.hear(now, health)
            }
            Event::Polled(health) => self.hear(now, health),
            Event::Passed(ticket) => {
                let mut actions = Vec::new();
                // The stream keeps their order: what lies before is done, too.
                while let Some(first) = pending.front()
                    && first.launched
                    && first.flight.ticket <= ticket
                {
                    actions.push(Action::Completed(first.flight.ticket));
                    pending.pop_front();
                    *moved_at = now;
                }
                if leaving.is_some() && pending.is_empty() {
                    self.state = State::Closed;
                    actions.push(Action::Destroy);
                }
                actions
            }
            Event::Aborted(reason) => self.fail(CollectiveError::Aborted { reason }),
            Event::PeerGone(error) => self.fail(error),
            Event::DeviceFailed(text) => self.fail(local("using the GPU", text)),
            Event::Leave if pending.is_empty() => {
                self.state = State::Closed;
                vec![Action::Destroy]
            }
            Event::Leave => {
                leaving.get_or_insert(now + self.limits.step);
                Vec::new()
            }
            Event::Tick => {
                let waited = now.saturating_duration_since(*moved_at);
                if leaving.is_some_and(|until| now >= until) {
                    return self.close();
                }
                match pending.front() {
                    Some(first) if waited >= self.limits.step => {
                        let Flight {
                            operation,
                            sequence,
                            ..
                        } = first.flight;
                        self.fail(CollectiveError::Timeout {
                            operation,
                            sequence,
                            waited,
                        })
                    }
                    _ => Vec::new(),
                }
            }
        }
    }

    /// What NCCL says of an open communicator.
    fn hear(&mut self, now: Instant, health: Health) -> Vec<Action> {
        let State::Open {
            pending, moved_at, ..
        } = &mut self.state
        else {
            return Vec::new();
        };
        match health {
            Health::Busy => Vec::new(),
            Health::Ready => match pending.back_mut() {
                Some(last) if !last.launched => {
                    last.launched = true;
                    *moved_at = now;
                    vec![Action::Launched(last.flight.ticket)]
                }
                _ => Vec::new(),
            },
            Health::Unlinked(text) => {
                let cause = match pending.front() {
                    Some(Pending { flight, .. }) => {
                        let Flight {
                            operation,
                            sequence,
                            ..
                        } = flight;
                        format!("{operation} (collective {sequence}): {text}")
                    }
                    None => text,
                };
                self.state = State::Asking {
                    until: now + WORD_WAIT,
                    otherwise: CollectiveError::Poisoned { cause },
                };
                Vec::new()
            }
            Health::Broken(text) => self.fail(local("a collective of NCCL", text)),
        }
    }

    fn while_asking(&mut self, until: Instant, now: Instant, event: Event) -> Vec<Action> {
        match event {
            Event::PeerGone(error) => self.fail(error),
            Event::Aborted(reason) => self.fail(CollectiveError::Aborted { reason }),
            Event::DeviceFailed(text) => self.fail(local("using the GPU", text)),
            Event::Leave => self.close(),
            Event::Tick if now >= until => {
                let State::Asking { otherwise, .. } =
                    std::mem::replace(&mut self.state, State::Closed)
                else {
                    return Vec::new();
                };
                self.fail(otherwise)
            }
            Event::Tick | Event::Polled(_) | Event::Called(..) | Event::Passed(_) => Vec::new(),
        }
    }

    fn refuse(&mut self, text: String) -> Vec<Action> {
        self.state = State::Closed;
        vec![Action::Refuse(text), Action::Abort]
    }

    /// Those who wait are told first: freeing the communicator may take long.
    fn fail(&mut self, error: CollectiveError) -> Vec<Action> {
        self.state = State::Closed;
        vec![Action::Fail(error), Action::Abort]
    }

    /// The end by force, of which nobody waits to hear.
    fn close(&mut self) -> Vec<Action> {
        self.state = State::Closed;
        vec![Action::Abort]
    }
}

fn local(doing: &str, text: String) -> CollectiveError {
    CollectiveError::Local {
        doing: doing.to_owned(),
        source: io::Error::other(text),
    }
}

#[cfg(test)]
mod tests;
