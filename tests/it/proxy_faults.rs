//! Every fault of the proxy, seen from outside.

use crate::proxy::{BOUND, connect, content, download, echo, receive, serve, try_connect};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use twinspan_testkit::proxy::{Fault, FaultyProxy, Plan};

/// How many bytes arrive on each of 12 downloads, all ended in order.
fn lengths(seed: u64) -> Vec<usize> {
    let plan = Plan::only(Fault::Truncate, seed, 0..=99_999);
    let proxy = FaultyProxy::start(download(), plan).expect("a proxy");
    let lengths = (0..12).map(|_| {
        let (received, end) = receive(&proxy);
        end.expect("an end in order");
        assert!(content().starts_with(&received), "no byte is changed");
        received.len()
    });
    let lengths = lengths.collect();
    assert_eq!(proxy.counts().truncated, 12);
    lengths
}

#[test]
fn truncation_ends_streams_in_order_at_places_that_the_seed_decides() {
    let first = lengths(1);
    assert!(first.iter().all(|length| *length < content().len()));
    assert!(first.iter().any(|length| *length != first[0]));
    assert_eq!(first, lengths(1));
    assert_ne!(first, lengths(2));
}

#[test]
fn a_reset_is_a_connection_error_in_the_middle_of_the_data() {
    let plan = Plan::only(Fault::Reset, 3, 50_000..=50_000);
    let proxy = FaultyProxy::start(download(), plan).expect("a proxy");
    let (received, end) = receive(&proxy);
    assert_eq!(end.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    assert!(received.len() <= 50_000 && content().starts_with(&received));
    assert_eq!(proxy.counts().reset, 1);
}

#[test]
fn a_refused_connection_gives_nothing_and_does_not_reach_the_server() {
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let server = serve(|_| {
        REACHED.fetch_add(1, Ordering::SeqCst);
    });
    let plan = Plan::only(Fault::Refuse, 4, 0..=0);
    let proxy = FaultyProxy::start(server, plan).expect("a proxy");
    let (received, end) = receive(&proxy);
    assert!(received.is_empty());
    assert_eq!(end.expect_err("refused").kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.counts().refused, 1);
    assert_eq!(REACHED.load(Ordering::SeqCst), 0);
}

#[test]
fn delayed_data_comes_whole_and_late() {
    let pause = Duration::from_millis(20);
    let plan = Plan::only(Fault::Delay(pause), 5, 20_000..=20_000);
    let proxy = FaultyProxy::start(download(), plan).expect("a proxy");
    let start = Instant::now();
    let (received, end) = receive(&proxy);
    end.expect("an end in order");
    assert!(received == content());
    // Before the bytes 20,000, 40,000, 60,000 and 80,000.
    assert_eq!(proxy.counts().delayed, 4);
    assert!(start.elapsed() >= 4 * pause);
}

#[test]
fn a_stall_holds_data_up_for_its_time() {
    let pause = Duration::from_millis(300);
    let plan = Plan::only(Fault::Stall(pause), 6, 90_000..=90_000);
    let proxy = FaultyProxy::start(download(), plan).expect("a proxy");
    let mut stream = connect(&proxy);
    let start = Instant::now();
    let mut received = vec![0; content().len()];
    stream
        .read_exact(&mut received[..90_000])
        .expect("what comes before");
    assert!(start.elapsed() < BOUND);
    stream
        .read_exact(&mut received[90_000..])
        .expect("what comes after");
    assert!(start.elapsed() >= pause);
    assert!(received == content());
    assert_eq!(proxy.counts().stalled, 1);
}

#[test]
fn healing_ends_a_stall_and_all_later_faults() {
    let hour = Fault::Stall(Duration::from_secs(3600));
    let proxy = FaultyProxy::start(download(), Plan::only(hour, 7, 10..=10)).expect("a proxy");
    let mut stream = connect(&proxy);
    let mut received = vec![0; content().len()];
    stream
        .read_exact(&mut received[..10])
        .expect("what comes before");
    proxy.heal();
    stream
        .read_exact(&mut received[10..])
        .expect("nothing holds it up");
    assert!(received == content());

    let counts = proxy.counts();
    for _ in 0..20 {
        let (received, end) = receive(&proxy);
        end.expect("an end in order");
        assert!(received == content());
    }
    assert_eq!(proxy.counts().faults(), counts.faults());
    assert_eq!(proxy.counts().connections, 21);

    proxy.inflict(Plan::only(Fault::Refuse, 8, 0..=0));
    receive(&proxy).1.expect_err("faults are back");
    assert_eq!(proxy.counts().refused, 1);
}

#[test]
fn requests_are_cut_as_well_as_answers() {
    // The server says how much it got before the stream ended.
    static SHORTEST: AtomicU64 = AtomicU64::new(u64::MAX);
    let server = serve(|mut stream| {
        let mut request = Vec::new();
        let _ = stream.read_to_end(&mut request);
        SHORTEST.fetch_min(request.len() as u64, Ordering::SeqCst);
        let _ = stream.shutdown(Shutdown::Write);
    });
    let plan = Plan::only(Fault::Truncate, 9, 10..=10);
    let proxy = FaultyProxy::start(server, plan).expect("a proxy");
    let mut stream = connect(&proxy);
    stream.write_all(&content()).expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an end in order");
    assert_eq!(proxy.counts().truncated, 1);
    drop(stream);
    let start = Instant::now();
    while SHORTEST.load(Ordering::SeqCst) != 10 {
        assert!(start.elapsed() < BOUND, "the server got no cut request");
        std::thread::yield_now();
    }
}

#[test]
fn a_rough_plan_has_every_fault_and_a_kept_connection_meets_one() {
    let proxy = FaultyProxy::start(echo(), Plan::rough(10, 2_000)).expect("a proxy");
    let message = &content()[..1_000];
    for connection in 0..60 {
        let Ok(mut stream) = try_connect(&proxy) else {
            continue;
        };
        let mut echoed = [0; 1_000];
        let mut rounds = 0;
        while stream.write_all(message).is_ok() && stream.read_exact(&mut echoed).is_ok() {
            assert_eq!(echoed, message);
            rounds += 1;
            assert!(rounds < 1_000, "connection {connection} is never cut");
        }
    }
    let counts = proxy.counts();
    assert_eq!(counts.connections, 60);
    assert_eq!(counts.refused + counts.reset + counts.truncated, 60);
    assert!(counts.refused > 0 && counts.reset > 0 && counts.truncated > 0);
    assert!(counts.delayed > 0 && counts.stalled > 0);
}
