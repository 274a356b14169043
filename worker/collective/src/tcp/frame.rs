//! Frames: a fixed header and a payload, sent and received piece by piece as the sockets allow.

use super::header::{HEADER, Header};
use crate::MAX_MESSAGE;
use crate::layout::Call;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;

/// A frame on its way out.
pub(super) struct Outgoing<'a> {
    header: [u8; HEADER],
    payload: &'a [u8],
    sent: usize,
}

impl<'a> Outgoing<'a> {
    pub fn new(call: Call, round: u32, payload: &'a [u8]) -> Self {
        let header = Header::Data {
            call,
            round,
            length: payload.len() as u64,
        }
        .encode();
        Self {
            header,
            payload,
            sent: 0,
        }
    }

    /// Bytes that went out so far, with the header.
    pub fn sent(&self) -> usize {
        self.sent
    }

    pub fn is_done(&self) -> bool {
        self.sent == HEADER + self.payload.len()
    }

    /// Whether the frame was cut short: nothing may follow it on its connection.
    pub fn is_broken_off(&self) -> bool {
        self.sent > 0 && !self.is_done()
    }

    /// Writes what the socket takes; says whether it took anything.
    pub fn advance(&mut self, mut stream: &TcpStream) -> io::Result<bool> {
        if self.is_done() {
            return Ok(false);
        }
        let written = match self.sent.checked_sub(HEADER) {
            // One packet for a small frame.
            None => stream.write_vectored(&[
                IoSlice::new(&self.header[self.sent..]),
                IoSlice::new(self.payload),
            ]),
            Some(sent) => stream.write(&self.payload[sent..]),
        };
        let written = ready(written)?;
        self.sent += written.unwrap_or(0);
        Ok(written.is_some())
    }
}

/// Where a payload goes.
pub(super) enum Sink<'a> {
    /// Into this buffer, which it fills.
    Into(&'a mut [u8]),
    /// Added to these numbers, in pieces that fit the scratch.
    Add {
        sum: &'a mut [f32],
        scratch: &'a mut [f32],
    },
    /// Into a message whose length, up to [`MAX_MESSAGE`], the header gives.
    Message(&'a mut Vec<u8>),
}

/// What ended a link.
#[derive(Debug)]
pub(super) enum Break {
    /// The connection failed or was closed.
    Connection(io::Error),
    /// The peer says farewell; its body, of this length, follows.
    Farewell { completed: u64, length: u64 },
    /// The peer does something else, or sends garbage.
    Mismatch(String),
}

impl From<io::Error> for Break {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// A frame on its way in.
pub(super) struct Incoming<'a> {
    call: Call,
    round: u32,
    header: [u8; HEADER],
    header_read: usize,
    /// Bytes of payload, once the header is there.
    length: Option<usize>,
    read: usize,
    sink: Sink<'a>,
}

impl<'a> Incoming<'a> {
    pub fn new(call: Call, round: u32, sink: Sink<'a>) -> Self {
        let header = [0; HEADER];
        Self {
            call,
            round,
            header,
            header_read: 0,
            length: None,
            read: 0,
            sink,
        }
    }

    /// Bytes that came in so far, with the header.
    pub fn received(&self) -> usize {
        HEADER + self.read
    }

    pub fn is_done(&self) -> bool {
        self.length == Some(self.read)
    }

    /// Reads what the socket has; says whether it had anything.
    pub fn advance(&mut self, stream: &TcpStream) -> Result<bool, Break> {
        match self.length {
            Some(length) if length == self.read => Ok(false),
            Some(length) => self.advance_payload(stream, length),
            None => {
                let read = read_some(stream, &mut self.header[self.header_read..])?;
                self.header_read += read.unwrap_or(0);
                if self.header_read == HEADER {
                    self.length = Some(self.check_header()?);
                }
                Ok(read.is_some())
            }
        }
    }

    /// The payload's length, which never exceeds what the call has room for.
    fn check_header(&mut self) -> Result<usize, Break> {
        let room = match &self.sink {
            Sink::Into(buffer) => buffer.len(),
            Sink::Add { sum, .. } => size_of_val(*sum),
            Sink::Message(_) => MAX_MESSAGE,
        } as u64;
        let (call, round) = (self.call, self.round);
        let Some(got) = Header::decode(&self.header) else {
            return Err(Break::Mismatch(format!(
                "{call} got bytes that are no frame"
            )));
        };
        let length = match got {
            Header::Farewell { completed, length } => {
                return Err(Break::Farewell { completed, length });
            }
            Header::Data { length, .. } => match self.sink {
                Sink::Into(_) | Sink::Add { .. } => room,
                Sink::Message(_) => length.min(room),
            },
        };
        let expected = Header::Data {
            call,
            round,
            length,
        };
        if got != expected {
            return Err(Break::Mismatch(format!(
                "it expects {expected} and got {got}"
            )));
        }
        let length = usize::try_from(length).unwrap_or(MAX_MESSAGE);
        if let Sink::Message(message) = &mut self.sink {
            message.resize(length, 0);
        }
        Ok(length)
    }

    fn advance_payload(&mut self, stream: &TcpStream, length: usize) -> Result<bool, Break> {
        let read = match &mut self.sink {
            Sink::Into(buffer) => read_some(stream, &mut buffer[self.read..])?,
            Sink::Message(message) => read_some(stream, &mut message[self.read..])?,
            Sink::Add { sum, scratch } => {
                // Bytes of a number that is not whole yet lie at the scratch's start.
                const WIDTH: usize = size_of::<f32>();
                let (added, held) = (self.read / WIDTH, self.read % WIDTH);
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(scratch);
                let end = bytes.len().min(held + length - self.read);
                let read = read_some(stream, &mut bytes[held..end])?;
                let held = held + read.unwrap_or(0);
                let whole = held / WIDTH;
                for (sum, number) in sum[added..].iter_mut().zip(&scratch[..whole]) {
                    *sum += number;
                }
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(scratch);
                bytes.copy_within(whole * WIDTH..held, 0);
                read
            }
        };
        self.read += read.unwrap_or(0);
        Ok(read.is_some())
    }
}

/// None where the socket would block.
pub(super) fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads once into a buffer that is not empty; none where there is nothing yet.
///
/// # Errors
/// The connection's, and [`ErrorKind::UnexpectedEof`] when it was closed.
pub(super) fn read_some(mut stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    match ready(stream.read(buffer))? {
        Some(0) => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "its connection was closed",
        )),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests;
