//! As much of an HTTP client as waiting for a server needs.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that has just started may hold a request for seconds and answer
/// the next at once: better to give up soon and ask again.
const LIMIT: Duration = Duration::from_secs(1);

/// Sends one request and gives the status of the answer.
pub(super) fn status(
    address: SocketAddr,
    method: &str,
    target: &str,
    body: &[u8],
) -> io::Result<u16> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    // HTTP/1.1 200 OK
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))
}
