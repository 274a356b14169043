//! Who gets into a ring, and what becomes of the others.

use crate::worlds::{BOUND, config};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use twinspan_collective::{
    AbortHandle, Collective, CollectiveError, RingConfig, RingListener, TcpRing,
};
use twinspan_types::{Generation, Nonce, Rank};

const SHORT: Duration = Duration::from_millis(400);

fn listen() -> RingListener {
    RingListener::bind("127.0.0.1").expect("a free port")
}

fn addresses(listeners: &[&RingListener]) -> Vec<String> {
    listeners
        .iter()
        .map(|listener| listener.address().to_owned())
        .collect()
}

/// Starts rank 0 of a world of two, lets `disturb` do its work at its door, then lets the right rank
/// 1 come, and checks that the ring works.
fn ring_forms_after(disturb: impl FnOnce(&str)) {
    let (first, second) = (listen(), listen());
    let door = first.address().to_owned();
    let members = addresses(&[&first, &second]);
    let (sender, receiver) = mpsc::channel();
    let configs = [config(Rank(0), &members), config(Rank(1), &members)];
    let [zero, one] = configs;
    let join = move |listener: RingListener, config: RingConfig| {
        let sender = sender.clone();
        thread::spawn(move || {
            let sum = TcpRing::connect(&listener, config).and_then(|mut ring| {
                let mut buffer = [1.0, 2.0, 3.0];
                ring.all_reduce_sum(&mut buffer).map(|()| buffer)
            });
            sender.send(sum)
        });
    };
    join(first, zero);
    disturb(&door);
    join(second, one);
    for _ in 0..2 {
        let sum = receiver.recv_timeout(BOUND).expect("both ranks end");
        assert_eq!(sum.expect("the ring forms"), [2.0, 4.0, 6.0]);
    }
}

/// Tries to get in as rank 1 with something changed.
fn stranger(door: &str, change: impl FnOnce(&mut RingConfig)) -> CollectiveError {
    let listener = listen();
    let members = [door.to_owned(), listener.address().to_owned()];
    let mut config = RingConfig {
        connect_timeout: SHORT,
        ..config(Rank(1), &members)
    };
    change(&mut config);
    TcpRing::connect(&listener, config)
        .map(drop)
        .expect_err("strangers stay outside")
}

#[test]
fn a_stale_generation_is_refused_and_the_right_one_gets_in_afterwards() {
    ring_forms_after(|door| {
        let error = stranger(door, |config| config.generation = Generation(6));
        assert_eq!(error.blames(), Some(Rank(0)));
        assert!(error.to_string().contains(door), "{error}");
    });
}

#[test]
fn a_wrong_token_is_refused_and_the_right_one_gets_in_afterwards() {
    ring_forms_after(|door| {
        stranger(door, |config| config.token = Nonce(1));
    });
}

#[test]
fn another_world_size_is_refused_and_the_right_one_gets_in_afterwards() {
    ring_forms_after(|door| {
        stranger(door, |config| config.members.push("127.0.0.1:1".to_owned()));
    });
}

#[test]
fn scanners_and_garbage_do_not_keep_the_neighbour_out() {
    let mut silent = Vec::new();
    ring_forms_after(|door| {
        for visit in 0..120 {
            let mut stream = TcpStream::connect(door).expect("the door is open");
            let said = match visit % 4 {
                0 => stream.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n and more"),
                1 => stream.write_all(&[0xff; 4096]),
                2 => stream.write_all(b"twinspan"),
                _ => Ok(()),
            };
            // The door may be shut in a stranger's face at any byte.
            drop(said);
            silent.push(stream);
        }
    });
}

#[test]
fn a_neighbour_that_answers_garbage_is_named_when_the_time_is_over() {
    let web = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = web.local_addr().expect("bound").to_string();
    thread::spawn(move || {
        // Ends with the test's process; every answer is one that no rank gives.
        for stream in web.incoming() {
            stream?.write_all(&[b'x'; 100])?;
        }
        Ok::<(), std::io::Error>(())
    });
    let listener = listen();
    let members = [listener.address().to_owned(), address.clone()];
    let config = RingConfig {
        connect_timeout: SHORT,
        ..config(Rank(0), &members)
    };
    match TcpRing::connect(&listener, config).map(drop) {
        Err(CollectiveError::Connect {
            peer: Rank(1),
            address: named,
            ..
        }) => {
            assert_eq!(named, address);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_rank_is_named_by_both_neighbours_and_by_the_ranks_behind_them() {
    let listeners = [listen(), listen(), listen(), listen()];
    let members = addresses(&listeners.each_ref());
    let jobs = (0..)
        .map(Rank)
        .zip(listeners)
        .filter(|(rank, _)| *rank != Rank(1));
    let jobs = jobs.map(|(rank, listener)| {
        let config = RingConfig {
            connect_timeout: SHORT,
            ..config(rank, &members)
        };
        move || TcpRing::connect(&listener, config).and_then(|mut ring| ring.barrier())
    });
    for outcome in crate::worlds::bounded(jobs.collect()) {
        assert_eq!(
            outcome.expect_err("a rank is missing").blames(),
            Some(Rank(1))
        );
    }
}

#[test]
fn an_abort_ends_the_connecting() {
    let listener = listen();
    // A neighbour that is reachable and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("bound").to_string();
    let config = config(Rank(0), &[listener.address().to_owned(), address]);
    let abort = AbortHandle::new();
    let handle = abort.clone();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        sender.send(TcpRing::connect_abortable(&listener, config, abort).map(drop))
    });
    // Rank 0 has come to the silent neighbour's door: it is connecting.
    let _visitor = silent.accept().expect("rank 0 connects");
    handle.abort("no longer wanted");
    let outcome = receiver.recv_timeout(BOUND).expect("connecting ends");
    assert!(
        matches!(outcome, Err(CollectiveError::Aborted { .. })),
        "{outcome:?}"
    );
}

#[test]
fn a_rank_beyond_the_members_is_an_error() {
    let listener = listen();
    let config = config(Rank(1), &[listener.address().to_owned()]);
    let outcome = TcpRing::connect(&listener, config).map(drop);
    assert!(
        matches!(outcome, Err(CollectiveError::Protocol { .. })),
        "{outcome:?}"
    );
}
