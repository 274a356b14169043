//! Faults that ranks tell of, and workers that come and go.

use crate::crew::Crew;
use crate::rig::{Worker, config};
use std::time::Duration;
use twinspan_coordinator_core::Outcome;
use twinspan_types::{
    Fact, Generation, GenerationFault, LeaveOutcome, Rank, ServiceError, Stamp, Step, WorldSize,
    WorldState,
};

fn diverged(step: u64, ranks: &[u32]) -> GenerationFault {
    GenerationFault::Diverged {
        step: Step(step),
        ranks: ranks.iter().copied().map(Rank).collect(),
    }
}

/// Every rank says that its generation ended because of a fault; those in `keeping` keep their state
/// of a step.
fn all_meet(crew: &mut Crew, fault: &GenerationFault, keeping: &[(usize, u64)]) {
    for worker in 0..crew.workers.len() {
        let kept = keeping.iter().find(|(keeper, _)| *keeper == worker);
        let Some(world) = crew.workers[worker].world.take() else {
            continue;
        };
        let stamp = kept.map(|(_, step)| Stamp {
            generation: world.generation,
            step: Step(*step),
        });
        crew.workers[worker].stamp = stamp.unwrap_or_default();
        let _ = crew.workers[worker].say_fault(&mut crew.rig, fault.clone());
    }
    crew.rig.complete_writes();
}

#[test]
fn a_rank_whose_state_differs_heals_and_is_turned_away_when_it_differs_again() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    all_meet(&mut crew, &diverged(5, &[1]), &[(0, 5), (2, 5)]);
    for worker in 0..3 {
        let world = crew.world_of(worker);
        assert_eq!((world.start, world.source), (Step(5), Some(Rank(0))));
    }
    let told =
        |fact: &&Fact| matches!(fact, Fact::StatesDiverged { workers, .. } if workers.len() == 1);
    assert_eq!(crew.rig.log.iter().filter(told).count(), 1, "recorded once");
    crew.step(6, 9);
    for worker in [0, 2] {
        crew.workers[worker].world = None;
        crew.workers[worker].stamp.step = Step(9);
        crew.workers[worker]
            .say_fault(&mut crew.rig, diverged(9, &[1]))
            .unwrap();
    }
    let refused = crew.workers[1].leave_world_for(&mut crew.rig, diverged(9, &[1]));
    assert!(
        matches!(refused, Err(ServiceError::Distrusted { .. })),
        "{refused:?}"
    );
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).size(), WorldSize(2));
}

#[test]
fn without_a_majority_all_go_back_to_the_newest_checkpoint() {
    let mut crew = Crew::at_work(2, 100, 5);
    let order = crew.step(1, 5);
    crew.checkpoint(5, order);
    crew.step(6, 8);
    // Rank 1 has not heard of the vote and keeps its state: it does not count.
    all_meet(&mut crew, &diverged(8, &[0, 1]), &[(1, 8)]);
    let world = crew.world_of(0);
    assert_eq!((world.start, world.source), (Step(5), None));
    assert!(world.restore.is_some());
}

#[test]
fn steps_that_are_not_finite_are_passed_over_after_one_rollback_and_then_the_run_stops() {
    let mut crew = Crew::at_work(2, 100, 5);
    let order = crew.step(1, 5);
    crew.checkpoint(5, order);
    crew.step(6, 9);
    let steps: Vec<Step> = [7, 8, 9].map(Step).to_vec();
    let fault = GenerationFault::NotFinite {
        steps: steps.clone(),
    };
    all_meet(&mut crew, &fault, &[]);
    for worker in 0..2 {
        let world = crew.world_of(worker);
        assert_eq!((world.start, world.passed_over), (Step(5), steps.clone()));
    }
    assert!(crew.was_told(&["steps 7, 8, 9", "goes back to step 5"]));
    // A coordinator that comes later knows of it.
    crew.rig.restart();
    for (worker, nonce) in [(0, 7), (1, 8)] {
        assert_eq!(
            crew.workers[worker].join_again(&mut crew.rig, nonce, 5),
            Ok(true)
        );
    }
    all_meet(&mut crew, &fault, &[]);
    crew.rig.pass(Duration::from_secs(6));
    assert!(
        crew.failure().contains("lower optimizer.lr"),
        "{}",
        crew.failure()
    );
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let mut crew = Crew::at_work(1, 100, 5);
    for round in 0..2 {
        let order = crew.step(round * 5 + 1, round * 5 + 5);
        crew.checkpoint(round * 5 + 5, order);
    }
    let what = "checkpoints/x/optimizer: its SHA-256 is not the manifest's".to_owned();
    let fault = GenerationFault::DamagedCheckpoint { what };
    crew.rig.restart();
    crew.workers[0] = Worker::new(7);
    crew.workers[0].join(&mut crew.rig).unwrap();
    for newest in [10, 5] {
        crew.rig.complete_writes();
        assert_eq!(crew.world_of(0).start, Step(newest));
        all_meet(&mut crew, &fault, &[]);
        crew.rig.complete_writes();
    }
    crew.rig.pass(Duration::from_secs(6));
    assert!(
        crew.failure().contains("no other checkpoint is left"),
        "{}",
        crew.failure()
    );
}

#[test]
fn a_pair_that_cannot_reach_each_other_is_kept_apart() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    for generation in 2..=3 {
        crew.regroup(&[(0, 5)], Some(2));
        crew.regroup(&[(1, 5), (2, 5)], None);
        crew.rig.complete_writes();
        assert_eq!(crew.world_of(0).generation, Generation(generation));
        for worker in [1, 2] {
            let asked = crew.workers[worker].get_world(&mut crew.rig).unwrap();
            let left_out = generation == 3 && worker == 2;
            assert_eq!(
                matches!(asked, WorldState::Pending { .. }),
                left_out,
                "{worker}"
            );
        }
    }
    assert!(crew.was_told(&["w1-3 is left out", "cannot reach it"]));
    // It does not make the others stop again and again.
    assert!(!crew.report(0, 6, vec![6]).directive.unwrap().reform);
    for _ in 0..44 {
        crew.rig.pass(Duration::from_millis(250));
        crew.report(0, 6, Vec::new());
        crew.report(1, 6, Vec::new());
        crew.workers[2].get_world(&mut crew.rig).unwrap();
    }
    assert!(
        crew.report(0, 6, Vec::new()).directive.unwrap().reform,
        "it gets another chance"
    );
}

#[test]
fn a_draining_worker_leaves_at_a_boundary_and_gets_no_other_place() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.workers[1].draining = true;
    crew.report(1, 5, Vec::new());
    let order = crew.report(0, 6, vec![6]).directive.unwrap();
    assert!(order.reform && order.checkpoint.is_none());
    crew.regroup(&[(0, 6)], None);
    crew.leave(1, LeaveOutcome::Done);
    crew.rig.complete_writes();
    let world = crew.world_of(0);
    assert_eq!((world.size(), world.start), (WorldSize(1), Step(6)));
    assert!(crew.was_told(&["rank 1", "as it was told to"]));
}

#[test]
fn the_last_workers_to_drain_save_what_they_have() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    for worker in [0, 1] {
        crew.workers[worker].draining = true;
        crew.report(worker, 5, Vec::new());
    }
    let order = crew.step(6, 6);
    assert!(order.reform && order.checkpoint.is_some_and(|order| order.timed));
    crew.checkpoint(6, order);
    for worker in [0, 1] {
        crew.leave(worker, LeaveOutcome::Done);
    }
    assert_eq!(crew.rig.outcome, None, "the run waits for others");
    crew.workers = vec![Worker::new(9)];
    crew.workers[0].join(&mut crew.rig).unwrap();
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).start, Step(6));
}

#[test]
fn time_makes_a_checkpoint_due_between_two_multiples() {
    let mut settings = config(1, 1000, 500);
    settings.checkpoint.every_minutes = Some(Duration::from_secs(60));
    let mut crew = Crew::with(settings);
    let mut step = 0;
    let mut timed = None;
    for _ in 0..300 {
        crew.rig.pass(Duration::from_millis(250));
        step += 1;
        timed = crew.report(0, step, vec![step]).directive;
        if timed.is_some_and(|order| order.checkpoint.is_some_and(|order| order.timed)) {
            break;
        }
    }
    assert_eq!(step, 240, "a minute");
    crew.checkpoint(step, timed.unwrap());
    let next = crew.report(0, step + 1, vec![step + 1]).directive.unwrap();
    assert_eq!(
        (next.at_step, next.checkpoint.unwrap().timed),
        (Step(500), false)
    );
}

#[test]
fn joiners_are_gathered_before_the_others_make_room() {
    let mut settings = config(3, 100, 50);
    settings.workers = WorldSize(1);
    settings.join_window = Duration::from_secs(1);
    let mut crew = Crew::with(settings);
    crew.step(1, 2);
    Worker::new(8).join(&mut crew.rig).unwrap();
    crew.rig.pass(Duration::from_millis(600));
    assert!(!crew.report(0, 3, vec![3]).directive.unwrap().reform);
    Worker::new(9).join(&mut crew.rig).unwrap();
    crew.rig.pass(Duration::from_millis(600));
    assert!(crew.report(0, 4, vec![4]).directive.unwrap().reform);
    crew.regroup(&[(0, 4)], None);
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).size(), WorldSize(3));
}

#[test]
fn a_worker_that_was_lost_again_and_again_waits_longer_each_time() {
    let mut crew = Crew::at_work(2, 1000, 500);
    let mut waits = Vec::new();
    for nonce in 20..24 {
        // Rank 1 is silent; rank 0 goes on without it.
        while !crew.report(0, 5, Vec::new()).superseded {
            crew.rig.pass(Duration::from_millis(250));
        }
        crew.regroup(&[(0, 5)], None);
        crew.rig.complete_writes();
        crew.world_of(0);
        assert_eq!(
            crew.workers[1].join_again(&mut crew.rig, nonce, 5),
            Ok(false)
        );
        let mut wait = Duration::ZERO;
        while !crew.report(0, 5, Vec::new()).directive.unwrap().reform {
            crew.rig.pass(Duration::from_millis(250));
            wait += Duration::from_millis(250);
            crew.workers[1].get_world(&mut crew.rig).unwrap();
        }
        waits.push(wait.as_secs());
        crew.regroup(&[(0, 5)], None);
        crew.rig.complete_writes();
        crew.world_of(0);
        crew.world_of(1);
    }
    assert_eq!(waits, [0, 2, 4, 8]);
}

#[test]
fn a_run_that_failed_is_not_brought_back_by_a_late_fault() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.leave(
        0,
        LeaveOutcome::Failed {
            reason: "x".to_owned(),
        },
    );
    let _ = crew.workers[1].leave_world_for(&mut crew.rig, diverged(0, &[0]));
    crew.rig.pass(Duration::from_secs(6));
    assert!(matches!(crew.rig.outcome, Some(Outcome::Failed { .. })));
}
