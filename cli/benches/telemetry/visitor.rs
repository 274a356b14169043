//! Somebody who has the status page open and scrapes the metrics.

use super::Result;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Gone when it is dropped.
pub struct Visitor {
    gone: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitor {
    /// Visits the page at `http://host:port`.
    pub fn start(page: &str) -> Result<Self> {
        let host = page.trim_start_matches("http://").trim_end_matches('/');
        let (host, gone) = (host.to_owned(), Arc::<AtomicBool>::default());
        let mut stream = ask(&host, "/api/v1/stream")?;
        let scrapes = {
            let gone = Arc::clone(&gone);
            move || {
                while !gone.load(Ordering::Relaxed) {
                    if let Ok(mut answer) = ask(&host, "/metrics") {
                        let _ = answer.read_to_end(&mut Vec::new());
                    }
                    std::thread::sleep(SECOND);
                }
            }
        };
        let looks = {
            let gone = Arc::clone(&gone);
            move || {
                let mut seen = [0; 65536];
                while !gone.load(Ordering::Relaxed) {
                    if matches!(stream.read(&mut seen), Ok(0)) {
                        return;
                    }
                }
            }
        };
        let threads = vec![std::thread::spawn(looks), std::thread::spawn(scrapes)];
        Ok(Self { gone, threads })
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn ask(host: &str, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(host)?;
    stream.set_read_timeout(Some(SECOND))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )?;
    Ok(stream)
}
