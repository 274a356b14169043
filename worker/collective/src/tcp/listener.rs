//! Where the left neighbour comes in.

use super::links::local;
use crate::CollectiveError;
use std::net::TcpListener;

/// A rank's listening socket. It outlives generations: bind it before joining, so that the
/// coordinator can tell the others its address.
#[derive(Debug)]
pub struct RingListener {
    pub(super) socket: TcpListener,
    address: String,
}

impl RingListener {
    /// Listens at `host` or `host:port`; without a port, or with port 0, at a free one.
    ///
    /// # Errors
    /// [`CollectiveError::Local`] when the address is not this machine's or the port is taken.
    pub fn bind(host: &str) -> Result<Self, CollectiveError> {
        let has_port = match host.starts_with('[') {
            true => host.contains("]:"),
            false => host.matches(':').count() == 1,
        };
        let wanted = match (has_port, host.contains(':') && !host.starts_with('[')) {
            (true, _) => host.to_owned(),
            (false, true) => format!("[{host}]:0"),
            (false, false) => format!("{host}:0"),
        };
        let open = || {
            let socket = TcpListener::bind(&wanted)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?.to_string();
            Ok(Self { socket, address })
        };
        open().map_err(local(&format!(
            "listening for the left neighbour at {wanted}"
        )))
    }

    /// `host:port` as bound. A listener at all addresses (`0.0.0.0`) must be told to others by
    /// another host name.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_a_port_gets_a_free_one() -> Result<(), CollectiveError> {
        for host in ["127.0.0.1", "127.0.0.1:0", "localhost"] {
            let listener = RingListener::bind(host)?;
            assert!(
                !listener.address().ends_with(":0"),
                "{}",
                listener.address()
            );
        }
        Ok(())
    }

    #[test]
    fn a_taken_port_is_an_error_that_names_it() -> Result<(), CollectiveError> {
        let first = RingListener::bind("127.0.0.1")?;
        let second = RingListener::bind(first.address()).map(drop);
        let message = second.map_or_else(|error| error.to_string(), |()| String::new());
        assert!(message.contains(first.address()), "{message}");
        Ok(())
    }
}
