//! What every engine must do; `suite!` runs it all over one factory of worlds, and `script` what one
//! rank can see of it by itself.

use crate::worlds::{
    Factory, PATIENCE, assert_sums, bytes, nccl, number, numbers, run, run_well, tcp, threads,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use twinspan_collective::{Collective, CollectiveError};
use twinspan_types::Rank;

macro_rules! suite {
    ($($engine:ident: $factory:expr;)+) => { $(
        mod $engine {
            use super::*;
            #[test]
            fn sums_are_right_and_have_the_same_bits_on_every_rank_and_in_every_run() {
                super::sums($factory, WORLDS);
            }
            #[test]
            fn gathers_put_uneven_and_empty_parts_rank_by_rank() {
                super::gathers($factory, WORLDS);
            }
            #[test]
            fn a_broadcast_from_any_root_reaches_all() {
                super::broadcasts($factory, WORLDS);
            }
            #[test]
            fn messages_of_any_length_reach_all() {
                super::messages($factory, WORLDS);
            }
            #[test]
            fn nobody_leaves_a_barrier_before_all_have_come() {
                super::barriers($factory, WORLDS);
            }
            #[test]
            fn a_series_of_different_collectives_stays_in_step_and_is_counted() {
                super::series($factory, WORLDS);
            }
            #[test]
            fn ranks_that_call_different_collectives_all_fail() {
                super::different_operations($factory, WORLDS);
            }
            #[test]
            fn ranks_that_give_different_lengths_all_fail() {
                super::different_lengths($factory, WORLDS);
            }
            #[test]
            fn slices_that_do_not_fit_the_counts_fail_on_all_ranks() {
                super::misfit($factory, WORLDS);
            }
        }
    )+ };
}

suite! {
    in_threads: threads;
    over_tcp: tcp;
    over_nccl: nccl;
}

/// Sizes of worlds.
pub type Worlds = std::ops::RangeInclusive<u32>;

const WORLDS: Worlds = 1..=5;

pub fn sums(factory: Factory, worlds: Worlds) {
    for size in worlds {
        for length in [0, 1, 2, 3, 4, 7, 1000, 300_001] {
            let sum = move |rank: &mut dyn Collective| {
                let mut buffer = numbers(rank.rank(), length);
                rank.all_reduce_sum(&mut buffer).map(|()| buffer)
            };
            let first = run_well(factory(size, PATIENCE), sum);
            assert_sums(&first, length);
            assert_eq!(first, run_well(factory(size, PATIENCE), sum));
        }
    }
}

pub fn gathers(factory: Factory, worlds: Worlds) {
    for size in worlds {
        for shape in [
            [0, 0, 0, 0, 0],
            [3, 0, 5, 1, 2],
            [0, 100_003, 7, 0, 65_536],
            [4; 5],
        ] {
            let counts = shape[..size as usize].to_vec();
            let expected: Vec<f32> = (0..)
                .zip(&counts)
                .flat_map(|(r, &n)| numbers(Rank(r), n))
                .collect();
            let outs = run_well(factory(size, PATIENCE), move |rank| {
                let local = numbers(rank.rank(), counts[rank.rank().index()]);
                let mut out = vec![f32::NAN; counts.iter().sum()];
                rank.all_gather(&local, &counts, &mut out).map(|()| out)
            });
            assert!(
                outs.iter().all(|out| *out == expected),
                "world {size}, {shape:?}"
            );
        }
    }
}

pub fn broadcasts(factory: Factory, worlds: Worlds) {
    for size in worlds {
        for root in (0..size).map(Rank) {
            for length in [0, 1, 4096, 2_000_003] {
                let buffers = run_well(factory(size, PATIENCE), move |rank| {
                    let mut buffer = bytes(rank.rank(), length);
                    rank.broadcast(root, &mut buffer).map(|()| buffer)
                });
                let expected = bytes(root, length);
                assert!(
                    buffers.iter().all(|buffer| *buffer == expected),
                    "{size} ranks, {root}"
                );
            }
        }
    }
}

pub fn messages(factory: Factory, worlds: Worlds) {
    for size in worlds {
        for lengths in [[0, 0, 0, 0, 0], [5, 0, 70_000, 1, 3_000_000]] {
            let gathered = run_well(factory(size, PATIENCE), move |rank| {
                rank.all_gather_bytes(&bytes(rank.rank(), lengths[rank.rank().index()]))
            });
            let expected: Vec<Vec<u8>> = (0..size)
                .map(|rank| bytes(Rank(rank), lengths[rank as usize]))
                .collect();
            assert!(
                gathered.iter().all(|messages| *messages == expected),
                "{size} {lengths:?}"
            );
        }
    }
}

pub fn barriers(factory: Factory, worlds: Worlds) {
    for size in worlds {
        let entered = Arc::new(AtomicU32::new(0));
        let seen = run_well(factory(size, PATIENCE), move |rank| {
            (1..=50)
                .map(|round| {
                    entered.fetch_add(1, Ordering::SeqCst);
                    rank.barrier()?;
                    let all = entered.load(Ordering::SeqCst) >= round * rank.world_size().0;
                    Ok(all)
                })
                .collect::<Result<Vec<bool>, CollectiveError>>()
        });
        assert!(seen.into_iter().flatten().all(|all| all), "world {size}");
    }
}

pub fn series(factory: Factory, worlds: Worlds) {
    for size in worlds {
        let sequences = run_well(factory(size, PATIENCE), |rank| {
            let (me, world) = (rank.rank(), rank.world_size());
            let before = rank.abort_handle().sequence();
            for round in 0..40 {
                let mut sum = vec![number(Rank(0), round); round];
                rank.all_reduce_sum(&mut sum)?;
                let counts: Vec<usize> = world.ranks().map(|r| (r.index() + round) % 4).collect();
                let mut out = vec![0.0; counts.iter().sum()];
                rank.all_gather(&numbers(me, counts[me.index()]), &counts, &mut out)?;
                let votes = rank.all_gather_bytes(&bytes(me, round))?;
                assert_eq!(votes[world.index() - 1], bytes(Rank(world.0 - 1), round));
                let root = Rank(round as u32 % world.0);
                let mut state = bytes(me, 100);
                rank.broadcast(root, &mut state)?;
                assert_eq!(state, bytes(root, 100));
                rank.barrier()?;
            }
            Ok(rank.abort_handle().sequence() - before)
        });
        assert_eq!(sequences, vec![200; size as usize]);
    }
}

/// Every rank must fail: the ones that see the difference with both sides' names, and from then on
/// every call on every rank.
fn assert_all_disagree(outcomes: Vec<[Result<(), CollectiveError>; 2]>) {
    for [first, second] in outcomes {
        match first {
            Err(CollectiveError::Protocol { .. }) => {}
            other => panic!("expected a disagreement, got {other:?}"),
        }
        assert!(
            matches!(second, Err(CollectiveError::Poisoned { .. })),
            "{second:?}"
        );
    }
}

pub fn different_operations(factory: Factory, worlds: Worlds) {
    for size in worlds.skip(1) {
        let outcomes = run(factory(size, PATIENCE), |rank| {
            let mut buffer = vec![0.0; 1000 * rank.world_size().index()];
            let first = if rank.rank() == Rank(1) {
                let counts = vec![1000; rank.world_size().index()];
                rank.all_gather(&[0.0; 1000], &counts, &mut buffer)
            } else {
                rank.all_reduce_sum(&mut buffer)
            };
            [first, rank.barrier()]
        });
        assert_all_disagree(outcomes);
    }
}

pub fn different_lengths(factory: Factory, worlds: Worlds) {
    for size in worlds.skip(1) {
        let outcomes = run(factory(size, PATIENCE), |rank| {
            let length = if rank.rank() == Rank(1) {
                500_000
            } else {
                500_001
            };
            [rank.all_reduce_sum(&mut vec![0.0; length]), rank.barrier()]
        });
        assert_all_disagree(outcomes);
    }
}

pub fn misfit(factory: Factory, worlds: Worlds) {
    for size in worlds {
        let outcomes = run(factory(size, PATIENCE), |rank| {
            let counts = vec![2; rank.world_size().index()];
            let mut out = vec![0.0; 2 * counts.len()];
            let local: &[f32] = if rank.rank() == Rank(0) {
                &[1.0]
            } else {
                &[1.0, 2.0]
            };
            [rank.all_gather(local, &counts, &mut out), rank.barrier()]
        });
        assert_all_disagree(outcomes);
    }
}

/// Every collective once and more, as a rank sees it that shares no memory with the others.
pub fn script(rank: &mut dyn Collective) -> Result<(), CollectiveError> {
    let (me, world) = (rank.rank(), rank.world_size());
    for length in [0, 1, 1000, 300_001] {
        let mut sum = numbers(me, length);
        rank.all_reduce_sum(&mut sum)?;
        for (index, sum) in sum.into_iter().enumerate() {
            let parts = world.ranks().map(|rank| f64::from(number(rank, index)));
            let (right, size) = parts.fold((0.0, 0.0), |(sum, size), x| (sum + x, size + x.abs()));
            assert!(
                (f64::from(sum) - right).abs() <= 1e-6 * size,
                "{sum} is not {right}"
            );
        }
    }
    for shift in 0..3 {
        let counts: Vec<usize> = world
            .ranks()
            .map(|rank| [0, 100_003, 7][(rank.index() + shift) % 3])
            .collect();
        let mut out = vec![f32::NAN; counts.iter().sum()];
        rank.all_gather(&numbers(me, counts[me.index()]), &counts, &mut out)?;
        let parts = world.ranks().zip(&counts);
        let expected = parts.flat_map(|(rank, count)| numbers(rank, *count));
        assert!(out.into_iter().eq(expected));
    }
    for root in world.ranks() {
        let mut buffer = bytes(me, 2_000_003);
        rank.broadcast(root, &mut buffer)?;
        assert!(buffer == bytes(root, 2_000_003));
    }
    let length = |rank: Rank| 70_000 * rank.index() + 5;
    let messages = rank.all_gather_bytes(&bytes(me, length(me)))?;
    assert!(
        world
            .ranks()
            .zip(messages)
            .all(|(rank, message)| message == bytes(rank, length(rank)))
    );
    rank.barrier()
}

#[test]
fn the_script_holds_over_every_engine() {
    for factory in [threads as Factory, tcp, nccl] {
        for size in [1, 3] {
            run_well(factory(size, PATIENCE), |rank| script(rank));
        }
    }
}
