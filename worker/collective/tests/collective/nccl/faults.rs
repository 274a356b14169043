//! What breaks while operations are under way, and whom it frees.

use super::{Joined, connect, pair, ranks, soon};
use crate::fake::{Flag, Net};
use crate::worlds::PATIENCE;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use twinspan_collective::nccl::NcclStatus;
use twinspan_collective::{Collective, CollectiveError};
use twinspan_types::Rank;

const SHORT: Duration = Duration::from_millis(300);

/// A sum on the device of which the other rank knows nothing; a host thread waits for it there.
fn stand_still(rank: &mut Joined) -> u64 {
    let buffer = rank.buffer(&[1.0; 4], ());
    rank.over
        .engine
        .all_reduce_sum_device(&buffer)
        .expect("launched");
    rank.over.engine.abort_handle().sequence()
}

/// Waits on the device, and says what has ended the wait.
fn freed(rank: &mut Joined) -> CollectiveError {
    let began = Instant::now();
    rank.gpu.synchronize(rank.stream);
    let mut ended = None;
    soon("the engine says what broke", || {
        ended = rank.over.engine.check().err();
        ended.is_some()
    });
    let error = ended.expect("something broke");
    assert!(began.elapsed() < PATIENCE, "freed too late: {error}");
    // From here on both engines of the generation are over.
    assert!(matches!(
        rank.over.engine.check(),
        Err(CollectiveError::Poisoned { .. })
    ));
    assert!(matches!(
        rank.over.engine.barrier(),
        Err(CollectiveError::Poisoned { .. })
    ));
    assert!(matches!(
        rank.over.ring.barrier(),
        Err(CollectiveError::Poisoned { .. })
    ));
    error
}

#[test]
fn an_operation_past_its_deadline_frees_a_thread_that_waits_on_the_device() {
    let [mut zero, _one] = pair(SHORT);
    let sequence = stand_still(&mut zero);
    match freed(&mut zero) {
        CollectiveError::Timeout {
            sequence: late,
            waited,
            ..
        } => assert!(late == sequence && waited >= SHORT),
        other => panic!("{other}"),
    }
}

#[test]
fn a_pulled_abort_handle_frees_a_thread_that_waits_on_the_device() {
    let [mut zero, _one] = pair(PATIENCE);
    stand_still(&mut zero);
    zero.over.engine.abort_handle().abort("a new world");
    match freed(&mut zero) {
        CollectiveError::Aborted { reason } => assert_eq!(reason, "a new world"),
        other => panic!("{other}"),
    }
}

#[test]
fn an_abort_reaches_a_communicator_that_does_nothing() {
    let [zero, _one] = pair(PATIENCE);
    zero.over.engine.abort_handle().abort("a new world");
    zero.nccl.aborted.wait();
    assert!(zero.nccl.aborted.is_raised());
}

#[test]
fn a_peer_that_leaves_is_named_and_frees_a_thread_that_waits_on_the_device() {
    let [mut zero, one] = pair(PATIENCE);
    stand_still(&mut zero);
    drop(one);
    match freed(&mut zero) {
        CollectiveError::PeerLeft { peer: Rank(1), .. } => {}
        other => panic!("{other}"),
    }
}

#[test]
fn an_asynchronous_error_of_one_rank_is_its_own_fault_and_the_other_hears_who_left() {
    let [mut zero, mut one] = pair(PATIENCE);
    stand_still(&mut one);
    let internal = 3;
    zero.nccl.error.store(internal, Ordering::Release);
    soon("rank 0 sees it", || zero.over.engine.check().is_err());
    match freed(&mut one) {
        CollectiveError::PeerLeft { peer, reason } => {
            assert_eq!(peer, Rank(0));
            assert!(reason.contains("fake NCCL error 3"), "{reason}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_broken_link_that_nobody_is_named_for_blames_nobody_and_names_the_collective() {
    let [mut zero, _one] = pair(PATIENCE);
    let sequence = stand_still(&mut zero);
    zero.nccl
        .error
        .store(NcclStatus::REMOTE_ERROR, Ordering::Release);
    let error = freed(&mut zero);
    assert_eq!(error.blames(), None);
    let text = error.to_string();
    assert!(
        text.contains(&format!("all_reduce_sum (collective {sequence})")),
        "{text}"
    );
}

#[test]
fn an_operation_that_ends_while_the_lost_rank_is_asked_for_mends_nothing() {
    let [mut zero, mut one] = pair(PATIENCE);
    stand_still(&mut zero);
    zero.nccl
        .error
        .store(NcclStatus::REMOTE_ERROR, Ordering::Release);
    stand_still(&mut one);
    assert_eq!(freed(&mut zero).blames(), None);
}

#[test]
fn a_library_that_does_not_come_back_holds_no_caller_beyond_the_timeout() {
    let [mut zero, _one] = pair(SHORT);
    let flag = Arc::new(Flag::default());
    *zero.nccl.hangs.lock().expect("no panic") = Some(flag.clone());
    let began = Instant::now();
    match zero.over.engine.barrier() {
        Err(CollectiveError::Timeout { waited, .. }) => assert!(waited >= SHORT),
        other => panic!("{other:?}"),
    }
    assert!(began.elapsed() < Duration::from_secs(15));
    flag.raise();
}

#[test]
fn an_abort_frees_a_caller_from_a_library_that_does_not_come_back() {
    let [mut zero, _one] = pair(PATIENCE);
    let flag = Arc::new(Flag::default());
    *zero.nccl.hangs.lock().expect("no panic") = Some(flag.clone());
    zero.over.engine.abort_handle().abort("a new world");
    let began = Instant::now();
    assert!(matches!(
        zero.over.engine.barrier(),
        Err(CollectiveError::Aborted { .. })
    ));
    assert!(began.elapsed() < PATIENCE / 2);
    flag.raise();
}

#[test]
fn an_engine_of_an_older_generation_that_hangs_does_not_disturb_the_next() {
    let net = Arc::new(Net::default());
    let mut old = ranks(&net, 2);
    for rank in &mut old {
        rank.config.step_timeout = SHORT;
        rank.config.connect_timeout = SHORT;
    }
    let flag = Arc::new(Flag::default());
    let mut old: Vec<Joined> = connect(old).into_iter().filter_map(Result::ok).collect();
    stand_still(&mut old[0]);
    *old[0].nccl.hangs.lock().expect("no panic") = Some(flag.clone());
    let mut new = ranks(&net, 2);
    for (new, old) in new.iter_mut().zip(&old) {
        // The same GPU, in which the old generation's operation still waits.
        new.gpu = old.gpu.clone();
        new.nccl = crate::fake::FakeNccl::new(&net, &old.gpu);
        new.config.generation = new.config.generation.next();
    }
    let new: Vec<Joined> = connect(new).into_iter().filter_map(Result::ok).collect();
    let jobs = new.into_iter().map(|mut rank| {
        move || {
            let first = rank.over.engine.all_gather_bytes(b"new");
            (first, rank)
        }
    });
    let mut new = Vec::new();
    for (gathered, rank) in crate::worlds::bounded(jobs.collect()) {
        assert_eq!(gathered.expect("both come"), [b"new", b"new"]);
        new.push(rank);
    }
    // The old one's answers come late, and end only itself.
    flag.raise();
    assert!(matches!(
        freed(&mut old[0]),
        CollectiveError::Timeout { .. }
    ));
    assert!(new.iter_mut().all(|rank| rank.over.engine.check().is_ok()));
}
