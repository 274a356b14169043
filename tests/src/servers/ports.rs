//! Ports that stay a test's own while its server is down.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// These and their upper twins lie below the range from which the system takes
/// ports for `bind(0)` and for outgoing connections (from 32768 on Linux):
/// nothing of that kind can sit on a killed server's port.
const RANGE: std::ops::Range<u16> = 20_000..22_700;
/// SeaweedFS's worker looks for gRPC this far above a part's HTTP port,
/// whatever the flags say.
const TWIN: u16 = 10_000;

/// Ports of 127.0.0.1 that no other [`Ports`] of any process holds, each with
/// an upper twin.
#[derive(Debug)]
pub(super) struct Ports {
    numbers: Vec<u16>,
    /// Locked files, one a port; the system unlocks them when the process ends.
    _locks: Vec<File>,
}

impl Ports {
    /// Finds `count` ports that are free now and keeps them from other tests.
    pub(super) fn reserve(count: usize) -> io::Result<Self> {
        let directory = std::env::temp_dir().join("twinspan-test-ports");
        fs::create_dir_all(&directory)?;
        // Processes begin at different places, so that few try the same port.
        let length = RANGE.end - RANGE.start;
        let start = (std::process::id() % u32::from(length)) as u16;
        let mut numbers = Vec::with_capacity(count);
        let mut locks = Vec::with_capacity(count);
        for offset in 0..length {
            if numbers.len() == count {
                break;
            }
            let port = RANGE.start + (start + offset) % length;
            let lock = File::create(directory.join(port.to_string()))?;
            if lock.try_lock().is_ok() && is_free(port) && is_free(port + TWIN) {
                numbers.push(port);
                locks.push(lock);
            }
        }
        if numbers.len() < count {
            return Err(io::Error::other(format!(
                "fewer than {count} free ports in {RANGE:?}"
            )));
        }
        Ok(Self {
            numbers,
            _locks: locks,
        })
    }

    /// The port with this place in the reservation.
    pub(super) fn get(&self, place: usize) -> u16 {
        self.numbers[place]
    }

    /// Its upper twin, which is this reservation's too.
    pub(super) fn twin(&self, place: usize) -> u16 {
        self.get(place) + TWIN
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn no_port_is_given_twice_while_it_is_held() {
        let first = Ports::reserve(8).expect("ports");
        let second = Ports::reserve(8).expect("ports");
        assert!(first.numbers.iter().all(|p| !second.numbers.contains(p)));
    }

    #[test]
    fn a_port_that_something_else_listens_on_is_passed_over() {
        let held = Ports::reserve(1).expect("a port");
        let port = held.get(0);
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).expect("bound");
        drop(held);
        let others = Ports::reserve(4).expect("ports");
        assert!(!others.numbers.contains(&port));
        drop(listener);
    }
}
