//! A rank's two connections, driven at the same time.

use super::frame::{Break, Incoming, Outgoing, Sink, read_some};
use super::header::{HEADER, Header};
use crate::abort::TICK;
use crate::farewell::Farewell;
use crate::layout::Call;
use crate::{AbortHandle, CollectiveError};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};
use twinspan_types::{Rank, WorldSize};

/// When the left connection breaks, its end may live and have left because of another rank. Word
/// of that comes round the ring from the right in milliseconds, or not at all.
const WORD_WAIT: Duration = Duration::from_millis(300);

/// The connections with both neighbours, non-blocking.
#[derive(Debug)]
pub(super) struct Links {
    rank: Rank,
    left: (Rank, TcpStream),
    right: (Rank, TcpStream),
    step_timeout: Duration,
    abort: AbortHandle,
    /// The right neighbour's farewell, when it concerns collectives later than the one in flight.
    word: Option<Farewell>,
    /// Whether the last frame to the right was cut short.
    broken_off: bool,
}

/// What the right neighbour said.
enum Word {
    Silence,
    Farewell(Farewell),
    Lost(io::Error),
}

impl Links {
    /// Takes non-blocking connections.
    pub fn new(
        rank: Rank,
        world: WorldSize,
        left: TcpStream,
        right: TcpStream,
        step_timeout: Duration,
        abort: AbortHandle,
    ) -> Self {
        let (left, right) = ((left_of(rank, world), left), (right_of(rank, world), right));
        Self {
            rank,
            left,
            right,
            step_timeout,
            abort,
            word: None,
            broken_off: false,
        }
    }

    /// Sends one frame to the right and receives one from the left, each where there is one, both
    /// at the same time: a ring in which all ranks send first would stand still.
    pub fn exchange(
        &mut self,
        call: Call,
        send: Option<(u32, &[u8])>,
        receive: Option<(u32, Sink<'_>)>,
    ) -> Result<(), CollectiveError> {
        if let Some(word) = self.word.take_if(|word| word.completed < call.sequence) {
            return Err(word.into_error());
        }
        let mut outgoing = send.map(|(round, payload)| Outgoing::new(call, round, payload));
        let mut incoming = receive.map(|(round, sink)| Incoming::new(call, round, sink));
        let result = self.drive(call, outgoing.as_mut(), incoming.as_mut());
        self.abort.count_traffic(
            outgoing.as_ref().map_or(0, Outgoing::sent),
            incoming.as_ref().map_or(0, Incoming::received),
        );
        self.broken_off = outgoing.is_some_and(|outgoing| outgoing.is_broken_off());
        result
    }

    fn drive(
        &mut self,
        call: Call,
        mut outgoing: Option<&mut Outgoing<'_>>,
        mut incoming: Option<&mut Incoming<'_>>,
    ) -> Result<(), CollectiveError> {
        let mut moved_at = Instant::now();
        loop {
            self.abort.check()?;
            let mut moved = false;
            if let Some(outgoing) = &mut outgoing {
                let sent = outgoing.advance(&self.right.1);
                moved |= sent.map_err(|source| self.right_broke(source))?;
            }
            if let Some(incoming) = &mut incoming {
                let received = incoming.advance(&self.left.1);
                moved |= received.map_err(|cause| self.left_broke(call, cause))?;
            }
            let sending = outgoing
                .as_ref()
                .is_some_and(|outgoing| !outgoing.is_done());
            let receiving = incoming
                .as_ref()
                .is_some_and(|incoming| !incoming.is_done());
            if !sending && !receiving {
                return Ok(());
            }
            if moved {
                moved_at = Instant::now();
                continue;
            }
            let waited = moved_at.elapsed();
            if waited >= self.step_timeout {
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
            self.wait(
                call,
                sending,
                receiving,
                TICK.min(self.step_timeout - waited),
            )?;
        }
    }

    /// Waits until a socket is ready, and hears the right neighbour if it has something to say.
    fn wait(
        &mut self,
        call: Call,
        sending: bool,
        receiving: bool,
        pause: Duration,
    ) -> Result<(), CollectiveError> {
        let mut right = PollFlags::empty();
        right.set(PollFlags::OUT, sending);
        right.set(PollFlags::IN, self.word.is_none());
        let mut polled = [
            PollFd::new(&self.right.1, right),
            PollFd::new(&self.left.1, PollFlags::IN),
        ];
        // A closed connection is always ready, so what is not waited for is left out.
        let wanted = usize::from(right.is_empty())..1 + usize::from(receiving);
        poll(&mut polled[wanted], pause).map_err(local("waiting for the ring's sockets"))?;
        let closed_or_said = PollFlags::IN | PollFlags::HUP | PollFlags::ERR;
        let speaks = polled[0].revents().intersects(closed_or_said);
        if !speaks || self.word.is_some() {
            return Ok(());
        }
        match self.hear(TICK) {
            Word::Silence => Ok(()),
            Word::Farewell(word) if word.completed >= call.sequence => {
                self.word = Some(word);
                Ok(())
            }
            Word::Farewell(word) => Err(word.into_error()),
            Word::Lost(source) => Err(CollectiveError::PeerLost {
                peer: self.right.0,
                source,
            }),
        }
    }

    /// Fails when the right neighbour is gone, or a neighbour has left before this collective; does
    /// not wait. What is heard stays there for the ring's own next exchange.
    pub fn listen(&mut self, sequence: u64) -> Result<(), CollectiveError> {
        if self.word.is_none() {
            self.word = self.hear_right()?;
        }
        let words = [self.word.clone(), self.glance_left()];
        let mut early = words.into_iter().flatten();
        match early.find(|word| word.completed < sequence) {
            Some(word) => Err(word.into_error()),
            None => Ok(()),
        }
    }

    /// The right neighbour's farewell, when it has said one.
    fn hear_right(&self) -> Result<Option<Farewell>, CollectiveError> {
        let mut right = [PollFd::new(&self.right.1, PollFlags::IN)];
        poll(&mut right, Duration::ZERO).map_err(local("listening to the right neighbour"))?;
        if right[0].revents().is_empty() {
            return Ok(None);
        }
        match self.hear(TICK) {
            Word::Silence => Ok(None),
            Word::Farewell(word) => Ok(Some(word)),
            Word::Lost(source) => Err(CollectiveError::PeerLost {
                peer: self.right.0,
                source,
            }),
        }
    }

    /// The left neighbour's farewell, when nothing of a collective stands before it. Of a left one
    /// that is lost the word comes round the ring.
    fn glance_left(&self) -> Option<Farewell> {
        let mut message = [0; HEADER + Farewell::MAX_BODY];
        let length = self.left.1.peek(&mut message).ok()?;
        let (header, body) = message[..length].split_first_chunk::<HEADER>()?;
        match Header::decode(header)? {
            Header::Farewell { completed, length } => {
                Farewell::decode(completed, body.get(..usize::try_from(length).ok()?)?)
            }
            Header::Data { .. } => None,
        }
    }

    /// Listens to the right neighbour, which says nothing but a farewell.
    fn hear(&self, wait: Duration) -> Word {
        let mut header = [0; HEADER];
        let (peer, stream) = (self.right.0, &self.right.1);
        match read_whole(stream, &mut header, Instant::now() + wait) {
            Ok(true) => {}
            Ok(false) => return Word::Silence,
            Err(error) => return Word::Lost(error),
        }
        match Header::decode(&header) {
            Some(Header::Farewell { completed, length }) => {
                match read_body(stream, completed, length) {
                    Ok(farewell) => Word::Farewell(farewell),
                    Err(error) => Word::Lost(error),
                }
            }
            _ => Word::Lost(io::Error::other(format!(
                "rank {peer} sent something against the ring"
            ))),
        }
    }

    fn right_broke(&self, source: io::Error) -> CollectiveError {
        match self.hear(WORD_WAIT) {
            Word::Farewell(word) => word.into_error(),
            Word::Silence | Word::Lost(_) => CollectiveError::PeerLost {
                peer: self.right.0,
                source,
            },
        }
    }

    fn left_broke(&self, call: Call, cause: Break) -> CollectiveError {
        let (peer, stream) = (self.left.0, &self.left.1);
        match cause {
            Break::Mismatch(detail) => {
                let detail = format!("rank {} hears rank {peer}: {detail}", self.rank);
                CollectiveError::Protocol { detail }
            }
            Break::Farewell { completed, length } => match read_body(stream, completed, length) {
                Ok(farewell) => farewell.into_error(),
                Err(source) => CollectiveError::PeerLost { peer, source },
            },
            Break::Connection(source) => match self.word.is_some() {
                true => CollectiveError::PeerLost { peer, source },
                false => match self.hear(WORD_WAIT) {
                    Word::Farewell(word) if word.completed < call.sequence => word.into_error(),
                    Word::Farewell(_) | Word::Silence => CollectiveError::PeerLost { peer, source },
                    Word::Lost(source) => CollectiveError::PeerLost {
                        peer: self.right.0,
                        source,
                    },
                },
            },
        }
    }

    /// Says farewell to both neighbours and closes both connections.
    pub fn leave(&self, farewell: &Farewell) {
        say_farewell(&self.left.1, farewell);
        // Behind half a frame it would be read as data.
        if self.broken_off {
            // Closing can fail only when the peer closed first.
            let _ = self.right.1.shutdown(Shutdown::Both);
        } else {
            say_farewell(&self.right.1, farewell);
        }
    }
}

/// Sends a farewell and closes the connection, without waiting: a peer that does not take it sees
/// the closed connection.
pub(super) fn say_farewell(mut stream: &TcpStream, farewell: &Farewell) {
    let body = farewell.encode_body();
    let header = Header::Farewell {
        completed: farewell.completed,
        length: body.len() as u64,
    };
    let message = [header.encode().as_slice(), &body].concat();
    let _ = stream.write(&message);
    let _ = stream.shutdown(Shutdown::Both);
}

/// Reads a farewell's body.
fn read_body(stream: &TcpStream, completed: u64, length: u64) -> io::Result<Farewell> {
    let garbled = || io::Error::other("it said an unreadable farewell");
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= Farewell::MAX_BODY);
    let mut body = vec![0; length.ok_or_else(garbled)?];
    match read_whole(stream, &mut body, Instant::now() + WORD_WAIT)? {
        true => Farewell::decode(completed, &body).ok_or_else(garbled),
        false => Err(garbled()),
    }
}

/// Fills the buffer; false when not one byte came before the deadline.
fn read_whole(stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<bool> {
    let mut filled = 0;
    while filled < buffer.len() {
        match read_some(stream, &mut buffer[filled..])? {
            Some(count) => filled += count,
            None => {
                let left = deadline.saturating_duration_since(Instant::now());
                match (left.is_zero(), filled) {
                    (true, 0) => return Ok(false),
                    (true, _) => return Err(io::Error::other("it broke off in mid-word")),
                    _ => poll(&mut [PollFd::new(stream, PollFlags::IN)], left)?,
                }
            }
        }
    }
    Ok(true)
}

/// Waits until a socket is ready, for `pause` at most.
pub(super) fn poll(polled: &mut [PollFd<'_>], pause: Duration) -> io::Result<()> {
    let pause = Timespec::try_from(pause).map_err(io::Error::other)?;
    match rustix::event::poll(polled, Some(&pause)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Wraps an error of this machine.
pub(super) fn local(doing: &str) -> impl FnOnce(io::Error) -> CollectiveError {
    let doing = doing.to_owned();
    move |source| CollectiveError::Local { doing, source }
}

/// The rank that this one receives from.
pub(super) fn left_of(rank: Rank, world: WorldSize) -> Rank {
    Rank((rank.0 + world.0 - 1) % world.0)
}

/// The rank that this one sends to.
pub(super) fn right_of(rank: Rank, world: WorldSize) -> Rank {
    Rank((rank.0 + 1) % world.0)
}
