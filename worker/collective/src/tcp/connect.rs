//! Forming the ring: connecting to the right while the left comes in.

use super::handshake::{HELLO, Hello};
use super::links::{left_of, local, poll, right_of, say_farewell};
use super::{RingListener, frame::read_some};
use crate::abort::TICK;
use crate::farewell::Farewell;
use crate::{AbortHandle, CollectiveError};
use rustix::event::{PollFd, PollFlags};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// One attempt's limit: longer than the first repetition of a lost packet.
const ATTEMPT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// A worker listens as long as it lives: whoever is refused for so long calls a dead one.
const REFUSED: Duration = Duration::from_millis(300);
/// Strangers that may stand in the door; the oldest goes when another comes.
const MAX_VISITORS: usize = 64;
/// How long one may take to say hello.
const VISIT: Duration = Duration::from_secs(5);

/// How long the ring may take to form.
pub(super) struct Limits<'a> {
    pub started: Instant,
    pub timeout: Duration,
    pub abort: &'a AbortHandle,
}

impl Limits<'_> {
    /// The time left; none when it is over.
    fn remaining(&self) -> Option<Duration> {
        self.timeout
            .checked_sub(self.started.elapsed())
            .filter(|left| !left.is_zero())
    }
}

/// The connections with the left and the right neighbour. `hello` holds this rank on both ends.
pub(super) fn neighbours(
    listener: &RingListener,
    members: &[String],
    hello: &Hello,
    limits: &Limits<'_>,
) -> Result<(TcpStream, TcpStream), CollectiveError> {
    let rank = hello.from;
    let left = Hello {
        from: left_of(rank, hello.world_size),
        ..*hello
    };
    let right = Hello {
        to: right_of(rank, hello.world_size),
        ..*hello
    };
    let over = AtomicBool::new(false);
    let (left, right) = thread::scope(|scope| {
        // The acceptor answers only when it accepts, so both must go on at the same time.
        let connecting = scope.spawn(|| {
            let connected = connect(&members[right.to.index()], &right, limits);
            over.store(connected.is_err(), Ordering::Release);
            connected
        });
        let left = accept(listener, &members[left.from.index()], &left, limits, &over);
        let right = connecting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (left, right)
    });
    // A neighbour that is linked already must not take this rank for the lost one.
    match (left, right) {
        (Ok(left), Ok(right)) => Ok((left, right)),
        (Ok(stream), Err(error)) | (Err(error), Ok(stream)) => {
            say_farewell(&stream, &Farewell::of(&error, rank, 0));
            Err(error)
        }
        // Waiting for the left one has ended because of the right one.
        (Err(_), Err(error)) => Err(error),
    }
}

/// Connects to the right neighbour, again and again until the time is over: it may not have heard
/// of the generation yet.
fn connect(
    address: &str,
    hello: &Hello,
    limits: &Limits<'_>,
) -> Result<TcpStream, CollectiveError> {
    let mut pause = FIRST_PAUSE;
    let mut refused_since = None;
    loop {
        let failure = match attempt(address, hello, limits) {
            Ok(stream) => return Ok(stream),
            Err(failure) => failure,
        };
        limits.abort.check()?;
        let lost = |failure: &io::Error| CollectiveError::Connect {
            peer: hello.to,
            address: address.to_owned(),
            waited: limits.started.elapsed(),
            detail: failure.to_string(),
        };
        match failure.kind() {
            ErrorKind::ConnectionRefused => {
                let since = *refused_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= REFUSED {
                    return Err(lost(&failure));
                }
            }
            _ => refused_since = None,
        }
        tracing::debug!(rank = hello.from.0, peer = hello.to.0, address, %failure, "not linked yet");
        let until = Instant::now() + pause;
        pause = LONGEST_PAUSE.min(pause * 2);
        while Instant::now() < until {
            limits.abort.check()?;
            let Some(left) = limits.remaining() else {
                return Err(lost(&failure));
            };
            thread::sleep(
                until
                    .saturating_duration_since(Instant::now())
                    .min(TICK)
                    .min(left),
            );
        }
    }
}

/// One attempt at every address of the host.
fn attempt(address: &str, hello: &Hello, limits: &Limits<'_>) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in address.to_socket_addrs()? {
        match greet(&address, hello, limits) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects, says hello and waits for the answer. There is no limit of its own to that wait: an
/// acceptor that comes to it late must find this connection alive.
fn greet(address: &SocketAddr, hello: &Hello, limits: &Limits<'_>) -> io::Result<TcpStream> {
    let over = || {
        io::Error::new(
            ErrorKind::TimedOut,
            "it accepts connections and does not answer",
        )
    };
    let left = limits.remaining().ok_or_else(over)?;
    let mut stream = TcpStream::connect_timeout(address, ATTEMPT.min(left))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    stream.write_all(&hello.encode())?;
    let mut answer = [0; HELLO];
    let mut filled = 0;
    while filled < HELLO {
        let left = limits.remaining().ok_or_else(over)?;
        if limits.abort.check().is_err() {
            return Err(io::Error::new(ErrorKind::Interrupted, "aborted"));
        }
        poll(&mut [PollFd::new(&stream, PollFlags::IN)], TICK.min(left))?;
        filled += read_some(&stream, &mut answer[filled..])?.unwrap_or(0);
    }
    let expected = Hello {
        from: hello.to,
        to: hello.from,
        ..*hello
    };
    expected
        .check(&answer)
        .map_err(|detail| io::Error::other(format!("it answered {detail}")))?;
    Ok(stream)
}

/// A connection that has not said its whole hello.
struct Visitor {
    stream: TcpStream,
    from: SocketAddr,
    since: Instant,
    hello: [u8; HELLO],
    filled: usize,
}

impl Visitor {
    /// Whether the hello is whole.
    fn listen(&mut self) -> io::Result<bool> {
        self.filled += read_some(&self.stream, &mut self.hello[self.filled..])?.unwrap_or(0);
        Ok(self.filled == HELLO)
    }
}

/// Waits for the left neighbour among whatever connects, until the forming is over; the others are
/// dropped without an answer.
fn accept(
    listener: &RingListener,
    address: &str,
    expected: &Hello,
    limits: &Limits<'_>,
    over: &AtomicBool,
) -> Result<TcpStream, CollectiveError> {
    let mut visitors = VecDeque::new();
    let mut refused = None;
    loop {
        limits.abort.check()?;
        let left = limits.remaining();
        let Some(left) = left.filter(|_| !over.load(Ordering::Acquire)) else {
            let nobody = || "it did not connect to this rank".to_owned();
            return Err(CollectiveError::Connect {
                peer: expected.from,
                address: address.to_owned(),
                waited: limits.started.elapsed(),
                detail: refused.unwrap_or_else(nobody),
            });
        };
        wait_at_the_door(listener, &visitors, TICK.min(left))
            .and_then(|()| let_in(listener, &mut visitors))
            .map_err(local("accepting the left neighbour's connection"))?;
        for _ in 0..visitors.len() {
            let Some(mut visitor) = visitors.pop_front() else {
                break;
            };
            match visitor.listen() {
                Ok(false) if visitor.since.elapsed() < VISIT => visitors.push_back(visitor),
                // Port scanners, and neighbours that gave up.
                Ok(false) | Err(_) => {}
                Ok(true) => match welcome(visitor, expected) {
                    Ok(stream) => return Ok(stream),
                    Err(detail) => refused = Some(format!("it did not connect, but {detail} did")),
                },
            }
        }
    }
}

fn wait_at_the_door(
    listener: &RingListener,
    visitors: &VecDeque<Visitor>,
    pause: Duration,
) -> io::Result<()> {
    let mut polled = vec![PollFd::new(&listener.socket, PollFlags::IN)];
    polled.extend(
        visitors
            .iter()
            .map(|visitor| PollFd::new(&visitor.stream, PollFlags::IN)),
    );
    poll(&mut polled, pause)
}

/// Accepts the connections that wait.
fn let_in(listener: &RingListener, visitors: &mut VecDeque<Visitor>) -> io::Result<()> {
    // Not without end: a flood must not keep those inside from being heard.
    for _ in 0..MAX_VISITORS / 4 {
        let (stream, from) = match listener.socket.accept() {
            Ok(accepted) => accepted,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => break,
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                _ => return Err(error),
            },
        };
        stream.set_nonblocking(true)?;
        if visitors.len() == MAX_VISITORS {
            visitors.pop_front();
        }
        let since = Instant::now();
        visitors.push_back(Visitor {
            stream,
            from,
            since,
            hello: [0; HELLO],
            filled: 0,
        });
    }
    Ok(())
}

/// Answers the left neighbour; an error says who else it is.
fn welcome(visitor: Visitor, expected: &Hello) -> Result<TcpStream, String> {
    let Visitor {
        mut stream,
        from,
        hello,
        ..
    } = visitor;
    let checked = expected.check(&hello).and_then(|()| {
        let answer = Hello {
            from: expected.to,
            to: expected.from,
            ..*expected
        };
        // A fresh connection's send buffer holds the answer whole.
        stream
            .set_nodelay(true)
            .and_then(|()| stream.write_all(&answer.encode()))
            .map_err(|error| format!("a neighbour that went again ({error})"))
    });
    match checked {
        Ok(()) => Ok(stream),
        Err(detail) => {
            tracing::warn!(rank = expected.to.0, %from, %detail, "refused a connection");
            Err(detail)
        }
    }
}
