//! The gate shows every request before the server has it and before the client has its answer.

use crate::proxy::BOUND;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use twinspan_testkit::proxy::{Gate, Moment, Way};

/// What every answer holds.
const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";

/// A server that answers every `PUT`, and how many it has carried out.
fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let carried_out = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&carried_out);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || answer(stream, &count));
        }
    });
    (address, carried_out)
}

fn answer(stream: TcpStream, count: &AtomicUsize) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut line = String::new();
        while line.trim() != "content-length: 4" {
            line.clear();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        while lines.read_line(&mut line).ok()? > 2 {}
        lines.read_exact(&mut [0; 4]).ok()?;
        count.fetch_add(1, Ordering::SeqCst);
        (&stream).write_all(ANSWER.as_bytes()).ok()?;
    }
}

/// Sends two requests over one connection through a gate whose guard opens the way while `open`
/// says so. Gives what came back, and what the guard saw: the target, the moment, and how many
/// requests the server had carried out.
fn through(
    open: impl Fn(&str, Moment) -> bool + Send + Sync + 'static,
) -> (String, Vec<(String, Moment, usize)>) {
    let (server, carried_out) = server();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let guard = move |passing: twinspan_testkit::proxy::Passing<'_>, moment| {
        assert_eq!((passing.method, passing.body), ("PUT", b"body".as_slice()));
        let count = carried_out.load(Ordering::SeqCst);
        let mut log = log.lock().expect("no panic");
        log.push((passing.target.to_owned(), moment, count));
        match open(passing.target, moment) {
            true => Way::Open,
            false => Way::Shut,
        }
    };
    let gate = Gate::start(server, guard).expect("a gate");
    let address = gate.endpoint().replace("http://", "");
    let mut stream = TcpStream::connect(&address).expect("connected");
    stream.set_read_timeout(Some(BOUND)).expect("a time limit");
    let mut received = String::new();
    for target in ["/first?a=1", "/second"] {
        let request =
            format!("PUT {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 4\r\n\r\nbody");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = [0; 512];
        match stream.read(&mut answer) {
            Ok(0) | Err(_) => break,
            Ok(count) => received.push_str(&String::from_utf8_lossy(&answer[..count])),
        }
    }
    let seen = seen.lock().expect("no panic").clone();
    (received, seen)
}

fn at(target: &str, moment: Moment, carried_out: usize) -> (String, Moment, usize) {
    (target.to_owned(), moment, carried_out)
}

#[test]
fn every_request_is_shown_before_and_after_the_server_has_carried_it_out() {
    let (received, seen) = through(|_, _| true);
    assert_eq!(received.matches("200 OK").count(), 2, "{received}");
    let expected = [
        at("/first?a=1", Moment::Before, 0),
        at("/first?a=1", Moment::After, 1),
        at("/second", Moment::Before, 1),
        at("/second", Moment::After, 2),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn what_is_shut_in_before_the_server_never_reaches_it_and_gets_no_answer() {
    let (received, seen) = through(|target, _| target != "/second");
    assert_eq!(received.matches("200 OK").count(), 1, "{received}");
    assert_eq!(seen.last(), Some(&at("/second", Moment::Before, 1)));
}

#[test]
fn what_is_shut_in_after_the_server_was_carried_out_and_gets_no_answer() {
    let (received, seen) = through(|_, moment| moment == Moment::Before);
    assert_eq!(received, "");
    assert_eq!(seen.last(), Some(&at("/first?a=1", Moment::After, 1)));
}
