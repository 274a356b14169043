//! Collectives on device memory: what they wait for, what waits for them, and what they keep.

use super::{Joined, pair, soon};
use crate::fake::Flag;
use crate::worlds::{PATIENCE, bounded};
use std::sync::{Arc, Mutex};
use twinspan_collective::{Collective, CollectiveError};
use twinspan_types::Rank;

/// Runs `act` on both ranks at the same time.
fn both<T: Send + 'static>(
    joined: [Joined; 2],
    act: impl Fn(&mut Joined) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let jobs = joined.into_iter().map(|mut joined| {
        let act = act.clone();
        move || (act(&mut joined), joined)
    });
    bounded(jobs.collect())
        .into_iter()
        .map(|(result, _)| result)
        .collect()
}

#[test]
fn device_memory_is_gathered_and_summed_in_place() {
    let results = both(pair(PATIENCE), |rank| {
        let me = rank.over.rank().0 as f32;
        let local = rank.buffer(&[me, me + 0.5], ());
        let out = rank.buffer(&[9.0; 4], ());
        let sum = rank.buffer(&[me + 1.0, 10.0], ());
        rank.over
            .engine
            .all_gather_device(&local, &out)
            .expect("both come");
        rank.over
            .engine
            .all_reduce_sum_device(&sum)
            .expect("both come");
        rank.gpu.synchronize(rank.stream);
        rank.over.engine.check().expect("nothing broke");
        (rank.numbers(&out), rank.numbers(&sum))
    });
    for (out, sum) in results {
        assert_eq!(out, [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(sum, [3.0, 20.0]);
    }
}

#[test]
fn a_collective_waits_for_earlier_work_of_other_streams_and_later_work_waits_for_it() {
    let results = both(pair(PATIENCE), |rank| {
        let buffer = rank.buffer(&[0.0; 3], ());
        let gate = Arc::new(Flag::default());
        let (gpu, opened) = (rank.gpu.clone(), gate.clone());
        let pointer = buffer.pointer();
        rank.gpu.enqueue(rank.stream, move || {
            opened.wait();
            gpu.write(pointer, bytemuck::cast_slice(&[1.0_f32, 2.0, 3.0]));
        });
        // The host does not wait: the work before it has not even begun.
        rank.over
            .engine
            .all_reduce_sum_device(&buffer)
            .expect("launched");
        assert!(!gate.is_raised());
        let (gpu, seen) = (rank.gpu.clone(), Arc::new(Mutex::new(Vec::new())));
        let later = seen.clone();
        rank.gpu.enqueue(rank.stream, move || {
            *later.lock().expect("no panic") = gpu.read_numbers(pointer, 3);
        });
        gate.raise();
        rank.gpu.synchronize(rank.stream);
        seen.lock().expect("no panic").clone()
    });
    assert_eq!(results, [[2.0, 4.0, 6.0], [2.0, 4.0, 6.0]]);
}

#[test]
fn a_buffer_is_held_until_the_device_is_past_it_and_no_longer() {
    let [mut zero, mut one] = pair(PATIENCE);
    let held = Arc::new(());
    let buffer = zero.buffer(&[1.0], held.clone());
    zero.over
        .engine
        .all_reduce_sum_device(&buffer)
        .expect("launched");
    drop(buffer);
    // The other rank has not come.
    assert_eq!(Arc::strong_count(&held), 2);
    let other = one.buffer(&[1.0], ());
    one.over
        .engine
        .all_reduce_sum_device(&other)
        .expect("launched");
    soon("the buffer is let go of", || Arc::strong_count(&held) == 1);
}

#[test]
fn many_collectives_may_be_under_way_and_end_in_order() {
    let results = both(pair(PATIENCE), |rank| {
        let buffers: Vec<_> = (0..40)
            .map(|n| rank.buffer(&vec![n as f32; n], ()))
            .collect();
        for buffer in &buffers {
            rank.over
                .engine
                .all_reduce_sum_device(buffer)
                .expect("launched");
        }
        // A collective over host memory waits for those on the device.
        let votes = rank
            .over
            .engine
            .all_gather_bytes(b"done")
            .expect("both come");
        assert_eq!(votes, [b"done", b"done"]);
        buffers.iter().all(|buffer| {
            let twice = 2.0 * buffer.len() as f32;
            rank.numbers(buffer).iter().all(|number| *number == twice)
        })
    });
    assert_eq!(results, [true, true]);
}

#[test]
fn room_that_does_not_fit_is_an_error_on_all_ranks() {
    let outcomes = both(pair(PATIENCE), |rank| {
        let local = rank.buffer(&[1.0, 2.0], ());
        let out = rank.buffer(&[0.0; 3], ());
        let first = match rank.over.rank() {
            Rank(0) => rank.over.engine.all_gather_device(&local, &out),
            _ => rank.over.engine.barrier(),
        };
        [first, rank.over.engine.barrier()]
    });
    for [first, second] in outcomes {
        assert!(
            matches!(first, Err(CollectiveError::Protocol { .. })),
            "{first:?}"
        );
        assert!(
            matches!(second, Err(CollectiveError::Poisoned { .. })),
            "{second:?}"
        );
    }
}

#[test]
fn nothing_to_gather_or_sum_is_a_collective_all_the_same() {
    let counted = both(pair(PATIENCE), |rank| {
        let before = rank.over.engine.abort_handle().sequence();
        let nothing = rank.buffer(&[], ());
        rank.over
            .engine
            .all_gather_device(&nothing, &nothing)
            .expect("nothing");
        rank.over
            .engine
            .all_reduce_sum_device(&nothing)
            .expect("nothing");
        rank.over.engine.barrier().expect("both come");
        rank.over.engine.abort_handle().sequence() - before
    });
    assert_eq!(counted, [3, 3]);
}

#[test]
fn a_dropped_engine_leaves_nothing_on_the_device_but_what_is_the_callers() {
    let gpus = both(pair(PATIENCE), |rank| {
        rank.over
            .engine
            .all_reduce_sum(&mut [1.0; 100_000])
            .expect("both come");
        let buffer = rank.buffer(&[1.0; 10], ());
        rank.over
            .engine
            .all_reduce_sum_device(&buffer)
            .expect("launched");
        rank.gpu.clone()
    });
    // The caller's stream and block.
    assert!(gpus.iter().all(|gpu| gpu.left_over() == 2));
}
