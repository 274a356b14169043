//! How ranks come together, or find out together that they cannot.

use super::{Joined, connect, ranks};
use crate::fake::Net;
use crate::worlds::bounded;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use twinspan_collective::nccl::{NcclMissing, NcclUnusable, NcclVersion};
use twinspan_collective::{Collective, CollectiveError, NcclConnectError, TcpRing};
use twinspan_types::Rank;

/// What every rank was told, which is the same; the rings still work.
fn unusable(outcomes: Vec<Result<Joined, (NcclConnectError, TcpRing)>>) -> NcclUnusable {
    let mut told = Vec::new();
    let mut rings = Vec::new();
    for outcome in outcomes {
        match outcome {
            Err((NcclConnectError::Unusable(why), ring)) => {
                told.push(why);
                rings.push(ring);
            }
            Err((error, _)) => panic!("the ring broke: {error}"),
            Ok(_) => panic!("a rank has joined"),
        }
    }
    assert!(told.windows(2).all(|two| two[0] == two[1]), "{told:?}");
    for barrier in bounded(
        rings
            .into_iter()
            .map(|mut ring| move || (ring.barrier(), ring))
            .collect(),
    ) {
        barrier.0.expect("a ring as good as before");
    }
    told.remove(0)
}

#[test]
fn mixed_versions_are_an_error_on_every_rank_that_names_ranks_and_versions() {
    let mut world = ranks(&Arc::default(), 3);
    world[1].nccl.version = NcclVersion::from_code(22_809);
    let text = unusable(connect(world)).to_string();
    assert!(text.contains("rank 1 has 2.28.9"), "{text}");
    assert!(text.contains("rank 0 has 2.30.3") && text.contains("rank 2 has 2.30.3"));
}

#[test]
fn a_rank_without_nccl_is_an_error_on_every_rank_that_names_it_and_what_to_do() {
    let mut world = ranks(&Arc::default(), 3);
    world[2].missing = Some(NcclMissing::Library {
        file: "libnccl.so.2".to_owned(),
        detail: "no such file".to_owned(),
    });
    let text = unusable(connect(world)).to_string();
    assert!(text.contains("rank 2: libnccl.so.2"), "{text}");
    assert!(text.contains("pip install nvidia-nccl-cu13"), "{text}");
    assert!(
        !text.contains("rank 0") && !text.contains("rank 1"),
        "{text}"
    );
}

#[test]
fn a_rank_without_its_gpu_is_named_on_every_rank() {
    let world = ranks(&Arc::default(), 2);
    let refused = world[0].gpu.refuses.set("CUDA_ERROR_NO_DEVICE (100)");
    refused.expect("not refused before");
    let text = unusable(connect(world)).to_string();
    assert!(text.contains("rank 0: device cuda:0"), "{text}");
    assert!(text.contains("CUDA_ERROR_NO_DEVICE"), "{text}");
}

#[test]
fn a_rank_that_cannot_join_is_named_on_every_rank_and_leaves_nothing_behind() {
    let net = Arc::new(Net::default());
    let mut world = ranks(&net, 3);
    world[1].nccl.join_error = Some(2);
    for rank in &mut world {
        rank.config.connect_timeout = Duration::from_millis(200);
    }
    let gpus: Vec<_> = world.iter().map(|rank| rank.gpu.clone()).collect();
    match unusable(connect(world)) {
        NcclUnusable::NotJoined(ranks) => {
            assert_eq!(ranks[1].0, Rank(1));
            assert!(ranks[1].1.contains("error 2"), "{ranks:?}");
            // The others have waited for it in vain; the second of them may hear of the first one's
            // end instead.
            let in_vain = |(_, text): &(Rank, String)| text.contains("come together");
            assert!(ranks.iter().any(in_vain) && ranks.len() == 3, "{ranks:?}");
        }
        other => panic!("{other}"),
    }
    assert_eq!(net.live.load(Ordering::Relaxed), 0);
    assert!(gpus.iter().all(|gpu| gpu.left_over() == 0));
}

#[test]
fn every_generation_gets_a_fresh_unique_id_of_rank_0() {
    let net = Arc::new(Net::default());
    for generation in 1..=3 {
        let joined = connect(ranks(&net, 2));
        assert!(joined.iter().all(Result::is_ok));
        assert_eq!(net.minted(), generation);
    }
}

#[test]
fn an_abort_ends_the_joining() {
    let mut world = ranks(&Arc::default(), 2);
    for rank in &mut world {
        // Never ready.
        rank.nccl.polls = u32::MAX;
    }
    let abort = world[1].ring.abort_handle();
    // The id has gone round when the third exchange is done.
    std::thread::spawn(move || {
        super::soon("the joining", || abort.sequence() >= 2);
        abort.abort("another world");
    });
    for (outcome, rank) in connect(world).into_iter().zip(0..) {
        match outcome {
            Err((NcclConnectError::Collective(CollectiveError::Aborted { reason }), _)) => {
                assert_eq!((reason.as_str(), rank), ("another world", 1));
            }
            Err((NcclConnectError::Collective(CollectiveError::PeerLeft { peer, .. }), _)) => {
                assert_eq!((peer, rank), (Rank(1), 0));
            }
            Err((other, _)) => panic!("{other}"),
            Ok(_) => panic!("rank {rank} has joined"),
        }
    }
}

#[test]
fn ranks_join_however_long_nccl_takes_within_the_timeout() {
    let mut world = ranks(&Arc::default(), 4);
    for (rank, polls) in world.iter_mut().zip([1, 50, 300, 0]) {
        rank.nccl.polls = polls;
    }
    // One of the ranks takes long for every call.
    let jobs = connect(world).into_iter().map(|joined| {
        let mut joined = joined.map_err(|(error, _)| error).expect("joined");
        move || (joined.over.engine.barrier(), joined)
    });
    for (barrier, _) in bounded(jobs.collect()) {
        barrier.expect("all come");
    }
}

#[test]
fn a_communicator_that_breaks_before_all_have_joined_leaves_the_ring_as_it_was() {
    let mut world = ranks(&Arc::default(), 3);
    // Ranks 0 and 2 have joined when rank 1 still waits, and gives up.
    world[1].nccl.polls = u32::MAX;
    world[1].config.connect_timeout = Duration::from_millis(200);
    match unusable(connect(world)) {
        NcclUnusable::NotJoined(ranks) => assert!(ranks.iter().any(|(rank, _)| *rank == Rank(1))),
        other => panic!("{other}"),
    }
}

#[test]
fn an_engine_and_its_ring_count_their_collectives_together() {
    let [mut zero, mut one] = super::pair(crate::worlds::PATIENCE);
    let first = zero.over.engine.abort_handle().sequence();
    let other = std::thread::spawn(move || {
        one.over.ring.barrier().expect("both come");
        one.over.engine.barrier().expect("both come");
        one
    });
    zero.over.ring.barrier().expect("both come");
    zero.over.engine.barrier().expect("both come");
    let sequence = zero.over.ring.abort_handle().sequence();
    assert_eq!(sequence, first + 2);
    other.join().expect("no panic");
}

#[test]
fn a_world_of_one_rank_joins_itself() {
    let mut joined = connect(ranks(&Arc::default(), 1));
    let mut alone = joined
        .remove(0)
        .map_err(|(error, _)| error)
        .expect("joined");
    let mut sum = [1.0, 2.0];
    alone.over.engine.all_reduce_sum(&mut sum).expect("alone");
    assert_eq!(sum, [1.0, 2.0]);
}
