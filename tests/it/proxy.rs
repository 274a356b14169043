//! What the proxy's tests talk to through it, and what it does without faults.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;
use twinspan_testkit::proxy::{FaultyProxy, Plan};

/// No read of a test waits longer.
pub const BOUND: Duration = Duration::from_secs(30);

/// A server that answers every connection with `handle`, until the test ends.
pub fn serve(handle: impl Fn(TcpStream) + Send + Copy + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(BOUND)).expect("a time limit");
            thread::spawn(move || handle(stream));
        }
    });
    address
}

/// Sends back what comes, and ends when it ends.
pub fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut reader = stream.try_clone().expect("a clone");
        let _ = io::copy(&mut reader, &mut stream);
        let _ = stream.shutdown(Shutdown::Write);
    })
}

/// The bytes that [`download`] sends.
pub fn content() -> Vec<u8> {
    (0..100_000_u32).map(|i| (i % 251) as u8).collect()
}

/// Sends [`content`] to whoever connects.
pub fn download() -> SocketAddr {
    serve(|mut stream| {
        let _ = stream.write_all(&content());
        let _ = stream.shutdown(Shutdown::Write);
        // A close before the peer's would reset what is still under way.
        let _ = io::copy(&mut stream, &mut io::sink());
    })
}

/// Connects with a bound on every wait; a refusal may show here already.
pub fn try_connect(proxy: &FaultyProxy) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&proxy.address(), BOUND)?;
    stream.set_read_timeout(Some(BOUND))?;
    stream.set_write_timeout(Some(BOUND))?;
    Ok(stream)
}

/// As [`try_connect`], where nothing is refused.
pub fn connect(proxy: &FaultyProxy) -> TcpStream {
    try_connect(proxy).expect("the proxy accepts")
}

/// All that one connection gives, and how it ended.
pub fn receive(proxy: &FaultyProxy) -> (Vec<u8>, io::Result<usize>) {
    let mut received = Vec::new();
    let end = try_connect(proxy).and_then(|mut stream| stream.read_to_end(&mut received));
    (received, end)
}

#[test]
fn without_faults_every_byte_passes_both_ways_and_streams_end_one_by_one() {
    let proxy = FaultyProxy::start(echo(), Plan::calm()).expect("a proxy");
    let mut stream = connect(&proxy);
    let mut writer = stream.try_clone().expect("a clone");
    let sent: Vec<u8> = content().repeat(20);
    let expected = sent.clone();
    let sending = thread::spawn(move || {
        writer.write_all(&sent).expect("sent");
        writer.shutdown(Shutdown::Write).expect("half closed");
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("received");
    sending.join().expect("the sender ends");
    assert!(received == expected);
    assert_eq!(proxy.counts().connections, 1);
    assert_eq!(proxy.counts().faults(), 0);
}

#[test]
fn a_server_that_is_down_shows_as_a_reset_and_is_found_when_it_is_back() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let server = listener.local_addr().expect("its address");
    drop(listener);
    let proxy = FaultyProxy::start(server, Plan::calm()).expect("a proxy");
    let (received, end) = receive(&proxy);
    assert!(received.is_empty());
    let error = end.expect_err("no server");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.counts().unreachable, 1);
    assert_eq!(proxy.counts().faults(), 0);

    let listener = TcpListener::bind(server).expect("the same port");
    let mut stream = connect(&proxy);
    let (mut served, _) = listener.accept().expect("a connection");
    served.write_all(b"back").expect("sent");
    drop(served);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("received");
    assert_eq!(received, b"back");
}

#[test]
fn a_dropped_proxy_leaves_no_connection_and_no_listener() {
    let proxy = FaultyProxy::start(echo(), Plan::calm()).expect("a proxy");
    let address = proxy.address();
    let mut stream = connect(&proxy);
    stream.write_all(b"x").expect("sent");
    stream.read_exact(&mut [0]).expect("echoed");
    drop(proxy);
    let mut rest = Vec::new();
    // An end or a reset, but not the time limit.
    if let Err(error) = stream.read_to_end(&mut rest) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    assert!(TcpStream::connect_timeout(&address, BOUND).is_err());
}
