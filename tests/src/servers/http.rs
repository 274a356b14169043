//! As much of an HTTP client as waiting for a server, and asking it, needs.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that has just started may hold a request for seconds and answer
/// the next at once: better to give up soon and ask again.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a server that runs may take over an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// Sends one request and gives the status of the answer.
pub(super) fn status(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
) -> io::Result<u16> {
    let head = format!("{method} {target} HTTP/1.1\r\n");
    let stream = send(address, LIMIT, &head, body)?;
    read_status(&mut BufReader::new(stream))
}

/// Sends one request, whose body is JSON where it has one, and gives the
/// answer's status and body.
pub(super) fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    // Of the older version, in which an answer's body is never cut into chunks.
    let head = format!("{method} {target} HTTP/1.0\r\nContent-Type: application/json\r\n");
    let stream = send(address, ANSWER_LIMIT, &head, body)?;
    let mut reader = BufReader::new(stream);
    let status = read_status(&mut reader)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut answer = Vec::new();
    reader.read_to_end(&mut answer)?;
    Ok((status, answer))
}

/// Sends a request that begins with `head`.
fn send(address: SocketAddr, limit: Duration, head: &str, body: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let head = format!(
        "{head}Host: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream)
}

fn read_status(reader: &mut impl BufRead) -> io::Result<u16> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    // HTTP/1.1 200 OK
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))
}
