//! Coordinators that die, and those that come after them.

use crate::crew::Crew;
use crate::rig::{TIMEOUT, Worker, config};
use std::time::Duration;
use twinspan_coordinator_core::{Outcome, Request};
use twinspan_types::{Generation, Phase, ServiceError, Step, Term, WorldState};

#[test]
fn a_new_coordinator_goes_on_with_the_generation_at_work() {
    let mut crew = Crew::at_work(2, 100, 10);
    crew.step(1, 5);
    crew.rig.restart();
    // The steps that the ranks took meanwhile, on the leases that they held, are taken in.
    for (worker, nonce) in [(1, 8), (0, 7)] {
        let refused = crew.workers[worker].report_request(7, Vec::new());
        let refused = crew.rig.ask(refused);
        assert!(
            matches!(refused, Err(ServiceError::Fenced { .. })),
            "{refused:?}"
        );
        assert_eq!(
            crew.workers[worker].join_again(&mut crew.rig, nonce, 7),
            Ok(true)
        );
    }
    let reply = crew.report(0, 7, (1..=7).collect());
    assert_eq!((reply.superseded, reply.received_step), (false, Step(7)));
    crew.rig.pass(TIMEOUT / 4);
    let order = crew.step(8, 10);
    assert_eq!((order.term, order.at_step), (Term(2), Step(10)));
    crew.checkpoint(10, order);
    assert_eq!(
        crew.rig.generations(),
        [Generation(1)],
        "no other generation was formed"
    );
    assert!(crew.was_told(&["generation 1 goes on", "2 workers"]));
}

#[test]
fn a_checkpoint_that_the_last_coordinator_ordered_is_committed_by_the_next() {
    let mut crew = Crew::at_work(2, 100, 10);
    let order = crew.step(1, 10);
    let attempt = order.checkpoint.unwrap().attempt;
    crew.store(0, 10, attempt).unwrap();
    crew.rig.restart();
    for (worker, nonce) in [(0, 7), (1, 8)] {
        crew.workers[worker]
            .join_again(&mut crew.rig, nonce, 10)
            .unwrap();
    }
    crew.report(0, 10, (1..=10).collect());
    crew.checkpoint(10, order);
    assert_eq!(crew.rig.manifests.len(), 1);
}

#[test]
fn a_stop_that_the_last_coordinator_ordered_is_carried_out_under_the_next() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 3);
    crew.rig.ask(Request::Stop).unwrap();
    let order = crew.step(4, 4);
    crew.rig.restart();
    for (worker, nonce) in [(0, 7), (1, 8)] {
        crew.workers[worker]
            .join_again(&mut crew.rig, nonce, 4)
            .unwrap();
    }
    crew.report(0, 4, (1..=4).collect());
    crew.checkpoint(4, order);
    crew.leave(0, twinspan_types::LeaveOutcome::Done);
    crew.leave(1, twinspan_types::LeaveOutcome::Done);
    assert!(matches!(
        crew.rig.outcome,
        Some(Outcome::Stopped { step: Step(4), .. })
    ));
}

#[test]
fn a_generation_with_a_member_that_does_not_come_ends_under_the_new_coordinator() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.rig.restart();
    assert_eq!(crew.workers[0].join_again(&mut crew.rig, 7, 5), Ok(true));
    for _ in 0..21 {
        crew.rig.pass(Duration::from_millis(250));
        crew.report(0, 5, Vec::new());
    }
    assert!(crew.report(0, 5, Vec::new()).superseded);
    assert!(crew.was_told(&["1 of its 2 workers came"]));
    crew.regroup(&[(0, 5)], None);
    crew.rig.complete_writes();
    assert_eq!(
        crew.world_of(0).start,
        Step(5),
        "with the state that is left"
    );
}

#[test]
fn a_world_that_was_logged_and_never_delivered_is_superseded() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.regroup(&[(0, 5), (1, 5)], None);
    crew.rig.complete_writes();
    crew.rig.restart();
    // Nobody has heard of generation 2: both speak of generation 1, which is over.
    for (worker, nonce) in [(0, 7), (1, 8)] {
        assert_eq!(
            crew.workers[worker].join_again(&mut crew.rig, nonce, 5),
            Ok(false)
        );
    }
    crew.rig.complete_writes();
    let world = crew.world_of(0);
    assert_eq!((world.generation, world.start), (Generation(3), Step(5)));
    assert!(world.source.is_some());
}

#[test]
fn fresh_workers_do_not_wait_for_those_of_a_dead_run() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.rig.restart();
    let mut fresh = [Worker::new(8), Worker::new(9)];
    for worker in &mut fresh {
        assert_eq!(worker.join(&mut crew.rig), Ok(false));
    }
    crew.rig.complete_writes();
    let world = fresh[0].get_world(&mut crew.rig).unwrap();
    assert!(matches!(world, WorldState::Formed(_)), "{world:?}");
    // One of the old ones lives after all: it gets no place in a generation that is over.
    let late = crew.workers[0].join_again(&mut crew.rig, 7, 3);
    assert!(matches!(late, Err(ServiceError::Full { .. })), "{late:?}");
}

#[test]
fn a_coordinator_of_an_older_term_decides_nothing_for_the_workers_of_a_newer_one() {
    let mut crew = Crew::at_work(1, 100, 50);
    crew.step(1, 2);
    // The frozen one wakes: to it, the worker speaks of a term that it does not know.
    crew.workers[0].fence.term = Term(9);
    let before = crew.rig.core.status();
    let asked = crew.workers[0].report_request(9, Vec::new());
    let refused = crew.rig.ask(asked);
    assert!(
        matches!(refused, Err(ServiceError::Fenced { .. })),
        "{refused:?}"
    );
    assert_eq!(crew.rig.core.status(), before);
}

#[test]
fn a_rank_that_stands_still_is_given_up_and_those_who_wait_for_it_are_not() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    for worker in [0, 1] {
        crew.workers[worker].phase = Phase::Collective;
    }
    for _ in 0..130 {
        crew.rig.pass(Duration::from_millis(250));
        for worker in 0..3 {
            let request = crew.workers[worker].report_request(5, Vec::new());
            if crew.rig.ask(request).is_err() {
                assert_eq!(worker, 2, "the one that computes");
                assert!(crew.was_told(&["rank 2", "phase Compute", "30s"]));
                assert!(crew.report(0, 5, Vec::new()).superseded);
                return;
            }
        }
    }
    panic!("nobody was given up: {:?}", crew.rig.told);
}

#[test]
fn nobody_is_blamed_for_samples_that_do_not_come() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.workers[0].phase = Phase::Collective;
    crew.workers[1].phase = Phase::DataWait;
    for _ in 0..1000 {
        crew.rig.pass(Duration::from_millis(250));
        for worker in 0..2 {
            assert!(!crew.report(worker, 5, Vec::new()).superseded);
        }
    }
    assert!(crew.rig.told.is_empty(), "{:?}", crew.rig.told);
    assert_eq!(config(2, 1, 1).heartbeat_timeout, TIMEOUT);
}
