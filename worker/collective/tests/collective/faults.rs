//! Ranks that go, stand still or are told to stop.

use crate::worlds::{AnyRank, BOUND, Factory, PATIENCE, bounded, nccl, run, tcp, threads};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use twinspan_collective::{Collective, CollectiveError};
use twinspan_types::Rank;

/// Sums until something fails.
fn sum_until_failure(rank: &mut dyn Collective, length: usize) -> CollectiveError {
    let deadline = Instant::now() + BOUND;
    let mut buffer = vec![1.0; length];
    while Instant::now() < deadline {
        if let Err(error) = rank.all_reduce_sum(&mut buffer) {
            return error;
        }
    }
    panic!("nothing failed");
}

/// After some collectives one rank is dropped; every other rank must name it.
fn a_rank_is_dropped(factory: Factory, length: usize) {
    for size in 2..=5 {
        for gone in (0..size).map(Rank) {
            let jobs = factory(size, PATIENCE).into_iter().map(|mut rank| {
                move || {
                    let me = rank.rank();
                    for _ in 0..3 {
                        rank.all_reduce_sum(&mut vec![1.0; length])
                            .expect("all are there");
                    }
                    (me != gone).then(|| sum_until_failure(rank.as_mut(), length))
                }
            });
            for error in bounded(jobs.collect()).into_iter().flatten() {
                match error {
                    CollectiveError::PeerLeft { peer, .. } => assert_eq!(peer, gone),
                    other => panic!("{size} ranks without {gone}: {other}"),
                }
            }
        }
    }
}

#[test]
fn a_dropped_thread_fails_all_others() {
    a_rank_is_dropped(threads, 10);
}

#[test]
fn a_dropped_rank_of_a_ring_fails_all_others_and_all_name_it() {
    a_rank_is_dropped(tcp, 10);
}

#[test]
fn a_dropped_rank_of_nccl_fails_all_others_and_all_name_it() {
    a_rank_is_dropped(nccl, 10);
}

#[test]
fn a_rank_dropped_between_large_sums_fails_all_others_and_all_name_it() {
    a_rank_is_dropped(tcp, 400_000);
}

/// The last rank never enters: the others are freed by the step timeout alone.
fn a_rank_stands_still(factory: Factory) {
    for size in 2..=4 {
        let outcomes = run(factory(size, Duration::from_millis(300)), move |rank| {
            let first = rank.abort_handle().sequence() + 1;
            (rank.rank() != Rank(size - 1)).then(|| (first, rank.barrier()))
        });
        let mut timeouts = 0;
        for (first, outcome) in outcomes.into_iter().flatten() {
            match outcome {
                Err(CollectiveError::Timeout { sequence, .. }) if sequence == first => {
                    timeouts += 1;
                }
                // One that waited a little longer heard of the first one's timeout.
                Err(CollectiveError::PeerLeft { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(timeouts > 0);
    }
}

#[test]
fn a_thread_that_never_comes_is_a_timeout() {
    a_rank_stands_still(threads);
}

#[test]
fn a_rank_of_a_ring_that_never_comes_is_a_timeout() {
    a_rank_stands_still(tcp);
}

#[test]
fn a_rank_of_nccl_that_never_comes_is_a_timeout() {
    a_rank_stands_still(nccl);
}

/// Waits until another thread's rank has entered its n-th collective.
fn wait_for_sequence(rank: &twinspan_collective::AbortHandle, sequence: u64) {
    let deadline = Instant::now() + BOUND;
    while rank.sequence() < sequence {
        assert!(Instant::now() < deadline, "the rank never entered");
        thread::yield_now();
    }
}

/// Rank 0 waits for a rank 1 that does not come, and is freed from outside; the waits of the other
/// ranks end with it.
fn an_abort_frees_all(factory: Factory) {
    for size in 2..=4 {
        let world = factory(size, PATIENCE);
        let handle = world[0].abort_handle();
        let first = handle.sequence() + 1;
        let (sender, receiver) = mpsc::channel();
        let mut absent = None;
        for mut rank in world {
            if rank.rank() == Rank(1) {
                absent = Some(rank);
                continue;
            }
            let sender = sender.clone();
            thread::spawn(move || {
                let outcome = (rank.rank(), rank.barrier(), rank.barrier());
                // Nobody listens only when the test has failed already.
                let _ = sender.send(outcome);
            });
        }
        wait_for_sequence(&handle, first);
        handle.abort("the coordinator reforms the world");
        for _ in 1..size {
            let (rank, first, second) = receiver.recv_timeout(BOUND).expect("freed");
            match first {
                Err(CollectiveError::Aborted { reason }) if rank == Rank(0) => {
                    assert_eq!(reason, "the coordinator reforms the world");
                }
                Err(CollectiveError::PeerLeft {
                    peer: Rank(0),
                    reason,
                }) if rank != Rank(0) => {
                    assert!(reason.contains("reforms"), "{reason}");
                }
                other => panic!("rank {rank}: {other:?}"),
            }
            assert!(
                matches!(second, Err(CollectiveError::Poisoned { .. })),
                "{second:?}"
            );
        }
        // In a world of two the aborted rank had entered its first barrier, which may still succeed.
        let mut absent = absent.expect("rank 1");
        let late = absent.barrier().and_then(|()| absent.barrier());
        assert!(
            matches!(late, Err(CollectiveError::PeerLeft { peer: Rank(0), .. })),
            "{late:?}"
        );
    }
}

#[test]
fn an_abort_frees_a_waiting_thread_and_its_world() {
    an_abort_frees_all(threads);
}

#[test]
fn an_abort_frees_a_waiting_rank_of_a_ring_and_all_others() {
    an_abort_frees_all(tcp);
}

#[test]
fn an_abort_frees_a_waiting_rank_of_nccl_and_all_others() {
    an_abort_frees_all(nccl);
}

#[test]
fn an_aborted_rank_refuses_the_next_collective_even_alone() {
    for factory in [threads as Factory, tcp, nccl] {
        let mut world: Vec<AnyRank> = factory(1, PATIENCE);
        world[0].barrier().expect("alone");
        world[0].abort_handle().abort("enough");
        assert!(matches!(
            world[0].barrier(),
            Err(CollectiveError::Aborted { .. })
        ));
    }
}

#[test]
fn a_rank_that_ends_first_does_not_disturb_the_others_last_collective() {
    for _ in 0..50 {
        for factory in [threads as Factory, tcp, nccl] {
            let jobs = factory(4, PATIENCE).into_iter().map(|mut rank| {
                move || {
                    rank.all_reduce_sum(&mut [1.0; 1000])?;
                    rank.all_gather_bytes(b"done").map(drop)
                }
            });
            for outcome in bounded(jobs.collect()) {
                outcome.expect("all ranks took part in all collectives");
            }
        }
    }
}
