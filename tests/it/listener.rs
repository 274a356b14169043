//! A listener with metrics.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};

/// Answers every connection with these metrics for as long as the test's process lives.
pub(crate) fn serve(metrics: String) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{metrics}",
                metrics.len()
            );
        }
    });
    Ok(address)
}
