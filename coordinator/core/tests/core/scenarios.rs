//! Claims about single rules.

use crate::crew::Crew;
use crate::rig::{LANES, Rig, TIMEOUT, Worker, config, step_report};
use std::time::Duration;
use twinspan_coordinator_core::{Event, Outcome, Request, Response};
use twinspan_types::{
    Cursor, Epoch, Evaluation, Fact, Generation, LaneId, LeaveOutcome, Quarantine, Rank, Report,
    ReportReply, ServiceError, ShardId, Skip, SkipReason, Stamp, Step, StepReport, StreamId,
    WorldSize, WorldState,
};

#[test]
fn a_repeated_join_is_answered_as_the_first() {
    let mut rig = Rig::new(config(2, 10, 5));
    let worker = Worker::new(1);
    let first = rig.ask(worker.join_request("build")).unwrap();
    assert_eq!(rig.ask(worker.join_request("build")), Ok(first));
    assert_eq!(rig.core.status().ranks.len(), 1);
}

#[test]
fn another_build_and_one_worker_too_many_are_refused() {
    let mut rig = Rig::new(config(2, 10, 5));
    rig.ask(Worker::new(1).join_request("build")).unwrap();
    let other = rig.ask(Worker::new(2).join_request("other"));
    assert!(matches!(other, Err(ServiceError::BuildMismatch { .. })));
    rig.ask(Worker::new(2).join_request("build")).unwrap();
    let third = rig.ask(Worker::new(3).join_request("build"));
    assert_eq!(
        third,
        Err(ServiceError::Full {
            wanted: WorldSize(2)
        })
    );
}

#[test]
fn a_world_is_seen_only_after_its_record_is_logged() {
    let mut rig = Rig::new(config(1, 10, 5));
    let mut worker = Worker::new(1);
    worker.join(&mut rig).unwrap();
    assert!(matches!(
        worker.get_world(&mut rig),
        Ok(WorldState::Pending { .. })
    ));
    assert!(rig.complete_write());
    let Ok(WorldState::Formed(world)) = worker.get_world(&mut rig) else {
        panic!("no world")
    };
    assert_eq!((world.start, world.restore), (Step(0), None));
    assert_eq!(world.directive.at_step, Step(5));
}

#[test]
fn a_checkpoint_exists_when_its_record_does_and_the_next_is_ordered() {
    let mut crew = Crew::at_work(2, 20, 5);
    let order = crew.step(1, 5);
    let attempt = order.checkpoint.unwrap().attempt;
    assert_eq!(crew.store(0, 5, attempt), Ok(false));
    assert!(
        !crew.rig.complete_write(),
        "nothing is written while a part is missing"
    );
    assert_eq!(crew.store(1, 5, attempt), Ok(false));
    assert!(crew.rig.complete_write(), "the metrics");
    assert!(crew.rig.complete_write(), "the manifest");
    assert_eq!(crew.store(1, 5, attempt), Ok(false));
    assert!(crew.rig.complete_write(), "the record");
    assert_eq!(crew.store(1, 5, attempt), Ok(true));
    let next = crew.report(1, 5, Vec::new()).directive.unwrap();
    assert_eq!((next.at_step, next.stop), (Step(10), false));
    assert!(next.sequence > order.sequence);
}

#[test]
fn a_checkpoint_waits_for_the_report_of_its_step() {
    let mut crew = Crew::at_work(1, 20, 5);
    let order = crew.step(1, 4);
    let attempt = order.checkpoint.unwrap().attempt;
    assert_eq!(crew.store(0, 5, attempt), Ok(false));
    assert!(!crew.rig.complete_write());
    crew.report(0, 5, vec![5]);
    assert!(crew.rig.complete_write());
}

#[test]
fn parts_that_belong_to_another_rank_or_step_are_refused() {
    let mut crew = Crew::at_work(2, 20, 5);
    let order = crew.step(1, 5);
    let attempt = order.checkpoint.unwrap().attempt;
    let mut stored = crew.workers[0].parts_request(5, attempt);
    stored.fence = crew.workers[1].fence.clone();
    let refused = crew.rig.ask(Request::PartsStored(stored));
    assert!(matches!(refused, Err(ServiceError::Invalid { .. })));
    assert_eq!(crew.store(0, 5, attempt), Ok(false));
    let other_step = crew.store(1, 6, attempt);
    assert!(matches!(other_step, Err(ServiceError::Invalid { .. })));
}

#[test]
fn retention_logs_first_and_then_removes() {
    let mut crew = Crew::at_work(1, 100, 5);
    for round in 0..4 {
        let order = crew.step(round * 5 + 1, round * 5 + 5);
        crew.checkpoint(round * 5 + 5, order);
    }
    let removed: Vec<u64> = crew.rig.removed.iter().map(|name| name.step.0).collect();
    assert_eq!(removed, [5, 10]);
}

#[test]
fn a_run_ends_when_its_last_checkpoint_exists_and_all_have_left() {
    let mut crew = Crew::at_work(2, 7, 5);
    let order = crew.step(1, 5);
    crew.checkpoint(5, order);
    let order = crew.step(6, 7);
    assert_eq!((order.at_step, order.stop), (Step(7), true));
    crew.checkpoint(7, order);
    crew.leave(0, LeaveOutcome::Done);
    crew.leave(0, LeaveOutcome::Done);
    crew.rig.complete_writes();
    assert_eq!(crew.rig.outcome, None);
    crew.leave(1, LeaveOutcome::Done);
    assert_eq!(crew.rig.outcome, None, "not before the record");
    crew.rig.complete_writes();
    assert_eq!(crew.rig.log.last(), Some(&Fact::RunEnded { step: Step(7) }));
    assert!(matches!(
        crew.rig.outcome,
        Some(Outcome::Ended { step: Step(7), .. })
    ));
    assert_eq!(crew.rig.metrics, (1..=7).map(Step).collect::<Vec<_>>());
}

#[test]
fn a_stop_checkpoints_at_the_next_boundary_and_the_run_goes_on_from_there() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 3);
    assert_eq!(crew.rig.ask(Request::Stop), Ok(Response::Stopping));
    crew.rig.event(Event::StopRequested);
    let order = crew.step(4, 4);
    assert_eq!(
        (order.sequence, order.stop, order.at_step),
        (2, true, Step(0))
    );
    crew.checkpoint(4, order);
    crew.leave(0, LeaveOutcome::Done);
    crew.leave(1, LeaveOutcome::Done);
    assert!(matches!(
        crew.rig.outcome,
        Some(Outcome::Stopped { step: Step(4), .. })
    ));

    crew.rig.restart();
    let mut again = Worker::new(9);
    again.join(&mut crew.rig).unwrap();
    Worker::new(8).join(&mut crew.rig).unwrap();
    crew.rig.complete_writes();
    let Ok(WorldState::Formed(world)) = again.get_world(&mut crew.rig) else {
        panic!()
    };
    assert_eq!(
        (world.start, world.generation.0, world.term.0),
        (Step(4), 2, 2)
    );
    assert!(
        world
            .restore
            .unwrap()
            .starts_with("checkpoints/step-00000004-")
    );
}

#[test]
fn a_stop_before_a_world_ends_at_once() {
    let mut rig = Rig::new(config(2, 10, 5));
    rig.event(Event::StopRequested);
    assert!(matches!(
        rig.outcome,
        Some(Outcome::Stopped {
            step: Step(0),
            checkpoint: None
        })
    ));
}

#[test]
fn a_silent_rank_is_given_up_by_name_and_the_others_go_on_from_the_furthest_state() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    for _ in 0..30 {
        crew.rig.pass(Duration::from_millis(250));
        crew.report(0, 5, Vec::new());
        crew.report(1, 6, Vec::new());
    }
    assert!(crew.report(0, 5, Vec::new()).superseded);
    for word in ["rank 2", "w1-3", "host3", "step 5", "Compute", "no word"] {
        assert!(
            crew.rig.told[0].contains(word),
            "{word} in {:?}",
            crew.rig.told
        );
    }
    crew.regroup(&[(0, 5), (1, 6)], None);
    assert_eq!(crew.rig.generations().len(), 1, "not before its record");
    crew.rig.complete_writes();
    let world = crew.world_of(0);
    assert_eq!(
        (world.generation.0, world.start, world.size()),
        (2, Step(6), WorldSize(2))
    );
    assert_eq!((world.source, world.restore), (Some(Rank(1)), None));
    assert!(crew.was_told(&["generation 2: 2 workers go on from step 6"]));
}

#[test]
fn a_rank_that_a_peer_misses_and_that_does_not_come_is_given_up_at_once() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    crew.regroup(&[(0, 5), (1, 5)], Some(2));
    crew.rig.pass(Duration::from_millis(400));
    assert_eq!(crew.rig.core.status().ranks.len(), 3, "it may still come");
    crew.rig.pass(Duration::from_millis(200));
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(1).size(), WorldSize(2));
    let woken = crew.workers[2].leave_world(&mut crew.rig, 5, None);
    assert!(matches!(woken, Err(ServiceError::NotJoined { .. })));
}

#[test]
fn a_rank_that_a_peer_misses_and_that_comes_stays() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.regroup(&[(0, 5)], Some(1));
    crew.regroup(&[(1, 5)], Some(0));
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).size(), WorldSize(2));
}

#[test]
fn steps_that_the_lost_rank_0_did_not_deliver_are_taken_from_the_next() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 3);
    crew.regroup(&[(1, 5)], Some(0));
    crew.rig.pass(Duration::from_secs(1));
    crew.rig.complete_writes();
    let world = crew.world_of(1);
    assert_eq!((world.start, world.source), (Step(5), Some(Rank(0))));
    let reply = crew.report(1, 6, vec![4, 5, 6]);
    assert_eq!(reply.received_step, Step(6));
    assert_eq!(crew.rig.metrics, (1..=6).map(Step).collect::<Vec<_>>());
}

#[test]
fn skips_of_steps_that_are_redone_are_recorded_again() {
    let mut crew = Crew::at_work(2, 100, 50);
    let mut report = step_report(1);
    report.skips = vec![skip(1, 0)];
    let request = crew.workers[0].report_request(1, vec![report.clone()]);
    crew.rig.ask(request).unwrap();
    // Rank 1 is lost with everybody's state of step 1: the run begins again.
    crew.rig.pass(TIMEOUT * 2 + crew.rig.config.lease_ahead);
    for nonce in [7, 8] {
        crew.workers[nonce - 7] = Worker::new(nonce as u64);
        crew.workers[nonce - 7].join(&mut crew.rig).unwrap();
    }
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).start, Step(0));
    let request = crew.workers[0].report_request(1, vec![report]);
    crew.rig.ask(request).unwrap();
    assert_eq!(crew.rig.skips.len(), 2);
}

#[test]
fn a_joiner_comes_in_at_a_boundary_and_heals() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.regroup(&[(0, 0)], Some(1));
    crew.rig.pass(Duration::from_secs(1));
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).size(), WorldSize(1));
    crew.report(0, 1, vec![1]);
    let mut joiner = Worker::new(9);
    joiner.join(&mut crew.rig).unwrap();
    let order = crew.report(0, 2, vec![2]).directive.unwrap();
    assert!(order.reform && order.checkpoint.is_none() && order.at_step == Step(0));
    assert!(!crew.report(0, 3, vec![3]).superseded, "until the boundary");
    crew.regroup(&[(0, 3)], None);
    crew.rig.complete_writes();
    let Ok(WorldState::Formed(world)) = joiner.get_world(&mut crew.rig) else {
        panic!()
    };
    assert_eq!(
        (world.size(), world.start, world.source),
        (WorldSize(2), Step(3), Some(Rank(0)))
    );
}

#[test]
fn an_abandoned_state_is_no_source() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    // Rank 1 is frozen at step 6, and rank 0 goes on without it from step 5.
    crew.regroup(&[(0, 5)], Some(1));
    crew.rig.pass(Duration::from_secs(1));
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).start, Step(5));
    let mut woken = Worker::new(9);
    woken.stamp = Stamp {
        generation: Generation(1),
        step: Step(6),
    };
    woken.join(&mut crew.rig).unwrap();
    woken.get_world(&mut crew.rig).unwrap();
    crew.regroup(&[(0, 5)], None);
    crew.rig.complete_writes();
    let world = crew.world_of(0);
    assert_eq!(
        (world.size(), world.start, world.source),
        (WorldSize(2), Step(5), Some(Rank(0)))
    );
}

#[test]
fn below_the_minimum_the_run_waits_and_says_so() {
    let mut settings = config(2, 100, 50);
    settings.min_workers = WorldSize(2);
    let mut crew = Crew::with(settings);
    crew.step(1, 5);
    crew.regroup(&[(0, 5)], Some(1));
    crew.rig.pass(Duration::from_secs(3));
    assert_eq!(crew.rig.outcome, None);
    let message = crew.rig.core.status().message;
    assert!(
        message.contains("1 of the 1 workers that have joined are ready, 2 must be"),
        "{message}"
    );
    let mut joiner = Worker::new(9);
    joiner.join(&mut crew.rig).unwrap();
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).start, Step(5));
}

#[test]
fn a_stop_between_two_generations_takes_its_checkpoint_in_the_next() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.step(1, 5);
    crew.regroup(&[(0, 5)], Some(1));
    crew.rig.event(Event::StopRequested);
    crew.rig.pass(Duration::from_secs(1));
    crew.rig.complete_writes();
    crew.world_of(0);
    let order = crew.report(0, 6, vec![1, 2, 3, 4, 5, 6]).directive.unwrap();
    assert!(order.stop && order.checkpoint.is_some());
}

#[test]
fn a_worker_that_does_not_leave_a_broken_generation_is_given_up() {
    let mut crew = Crew::at_work(3, 100, 50);
    crew.step(1, 5);
    crew.regroup(&[(0, 5), (1, 5)], None);
    let hear_all = |crew: &mut Crew| {
        crew.rig.pass(Duration::from_millis(250));
        let stuck = crew.workers[2].report_request(5, Vec::new());
        let _ = crew.rig.ask(stuck);
        for worker in [0, 1] {
            let _ = crew.workers[worker].get_world(&mut crew.rig);
        }
    };
    (0..118).for_each(|_| hear_all(&mut crew));
    assert_eq!(crew.rig.core.status().ranks.len(), 3, "within its time");
    (0..4).for_each(|_| hear_all(&mut crew));
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(1).size(), WorldSize(2));
    assert!(crew.was_told(&["waiting for rank 2", "to leave generation 1"]));
    assert!(crew.was_told(&["rank 2", "did not leave its generation"]));
}

#[test]
fn silence_does_not_matter_while_the_step_rises() {
    let mut crew = Crew::at_work(2, 1000, 1000);
    for step in 1..=60 {
        crew.rig.pass(Duration::from_millis(250));
        assert_eq!(crew.report(0, step, vec![step]).ended, None);
    }
}

#[test]
fn when_all_are_silent_they_have_the_time_of_their_leases() {
    let mut crew = Crew::at_work(2, 100, 50);
    let leases = crew.rig.config.lease_ahead;
    crew.rig.pass(TIMEOUT / 2 + leases);
    assert!(!crew.report(0, 0, Vec::new()).superseded);
    assert!(!crew.report(1, 0, Vec::new()).superseded);
    crew.rig.pass(TIMEOUT * 4 + leases);
    assert!(
        crew.rig.told[0].contains("no word from any worker"),
        "{:?}",
        crew.rig.told
    );
    assert_eq!(crew.rig.core.status().ranks, []);
}

#[test]
fn whoever_is_new_shows_that_the_silence_of_all_is_not_on_this_side() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.rig.pass(TIMEOUT * 2);
    let mut joiner = Worker::new(9);
    assert!(matches!(
        joiner.join(&mut crew.rig),
        Err(ServiceError::Full { .. })
    ));
    crew.rig.pass(TIMEOUT / 2);
    assert!(crew.rig.told.is_empty(), "{:?}", crew.rig.told);
    crew.rig.pass(TIMEOUT);
    joiner.join(&mut crew.rig).unwrap();
    crew.rig.complete_writes();
    assert!(matches!(
        joiner.get_world(&mut crew.rig),
        Ok(WorldState::Formed(_))
    ));
}

#[test]
fn who_waits_for_a_generation_while_the_last_one_leaves_is_told_of_the_end() {
    let mut settings = config(2, 10, 5);
    settings.workers = WorldSize(1);
    settings.join_window = Duration::from_secs(60);
    let mut crew = Crew::with(settings);
    let order = crew.step(1, 5);
    crew.checkpoint(5, order);
    let mut joiner = Worker::new(9);
    joiner.join(&mut crew.rig).unwrap();
    let order = crew.step(6, 10);
    crew.checkpoint(10, order);
    let state = joiner.get_world(&mut crew.rig).unwrap();
    assert!(matches!(state, WorldState::Ended(ended) if !ended.failed));
    crew.leave(0, LeaveOutcome::Done);
    crew.rig.complete_writes();
    assert!(matches!(
        crew.rig.outcome,
        Some(Outcome::Ended { step: Step(10), .. })
    ));
}

#[test]
fn a_jump_of_the_own_clock_decides_nothing_for_a_timeout() {
    let mut crew = Crew::at_work(2, 100, 50);
    crew.rig.now += TIMEOUT * 10;
    assert_eq!(crew.report(0, 0, Vec::new()).ended, None);
    crew.rig.advance(Duration::ZERO);
    assert_eq!(crew.report(1, 0, Vec::new()).ended, None);
}

#[test]
fn a_rank_that_fails_by_itself_fails_the_run_and_one_that_leaves_does_not() {
    let mut crew = Crew::at_work(1, 100, 50);
    let reason = "out of memory".to_owned();
    crew.leave(0, LeaveOutcome::Failed { reason });
    assert!(crew.failure().contains("failed: out of memory"));

    let mut crew = Crew::at_work(2, 100, 50);
    crew.leave(1, LeaveOutcome::Done);
    crew.regroup(&[(0, 0)], None);
    crew.rig.complete_writes();
    assert_eq!(crew.world_of(0).size(), WorldSize(1));
}

#[test]
fn too_few_workers_in_time_is_a_failure_that_counts_them() {
    let mut settings = config(2, 10, 5);
    settings.min_workers = WorldSize(2);
    let mut rig = Rig::new(settings);
    let mut worker = Worker::new(1);
    worker.join(&mut rig).unwrap();
    for _ in 0..61 {
        rig.pass(Duration::from_secs(1));
        let _ = worker.get_world(&mut rig);
    }
    rig.pass(Duration::from_secs(10));
    let Some(Outcome::Failed { reason }) = &rig.outcome else {
        panic!("{:?}", rig.outcome)
    };
    assert!(reason.starts_with("1 of 2 workers joined"), "{reason}");
}

#[test]
fn a_seat_of_a_silent_worker_is_free_again_before_a_world() {
    let mut rig = Rig::new(config(3, 10, 5));
    let (mut dead, mut alive) = (Worker::new(1), Worker::new(2));
    dead.join(&mut rig).unwrap();
    alive.join(&mut rig).unwrap();
    for _ in 0..30 {
        rig.pass(Duration::from_millis(250));
        let _ = alive.get_world(&mut rig);
    }
    assert!(matches!(
        dead.get_world(&mut rig),
        Err(ServiceError::NotJoined { .. })
    ));
    assert_eq!(rig.core.status().ranks.len(), 1);
}

fn skip(n: u32, epoch: u64) -> Skip {
    Skip {
        step: Step(1),
        lane: LaneId(n % LANES),
        epoch: Epoch(epoch),
        shard: "s.tar".to_owned(),
        key: format!("k{n}"),
        reason: SkipReason::CorruptImage,
        detail: "bad marker".to_owned(),
    }
}

#[test]
fn skips_beyond_the_allowed_share_fail_the_run_with_the_list() {
    let mut crew = Crew::at_work(1, 100, 50);
    let mut step = 0;
    let mut send = |skips: Vec<Skip>| {
        step += 1;
        let report = StepReport {
            skips,
            ..step_report(step)
        };
        let request = crew.workers[0].report_request(step, vec![report]);
        match crew.rig.ask(request).unwrap() {
            Response::Report(reply) => reply,
            other => panic!("{other:?}"),
        }
    };
    let ten: Vec<Skip> = (0..10).map(|n| skip(n, 0)).collect();
    let again: Vec<Skip> = (0..10).map(|n| skip(n, 1)).collect();
    for skips in [ten.clone(), ten, again] {
        assert_eq!(send(skips).ended, None);
    }
    let ended = send(vec![skip(10, 0)]).ended.unwrap();
    assert!(
        ended.reason.starts_with("11 of 100 samples"),
        "{}",
        ended.reason
    );
    assert!(
        ended
            .reason
            .contains("s.tar: k10: CorruptImage: bad marker"),
        "{}",
        ended.reason
    );
    assert_eq!(crew.rig.skips.len(), 21, "recorded once each");
}

fn quarantine(samples: u64, passed: u64) -> Quarantine {
    let from = Cursor {
        epoch: Epoch(0),
        passed,
    };
    Quarantine {
        shard: ShardId(3),
        url: "s3://b/3.tar".to_owned(),
        samples,
        reason: "it does not exist".to_owned(),
        from: vec![(StreamId(1), from)],
    }
}

#[test]
fn a_quarantine_is_known_when_its_record_is_logged_and_outlives_a_restart() {
    let mut crew = Crew::at_work(1, 100, 50);
    let fence = crew.workers[0].fence.clone();
    let ask = |rig: &mut Rig, quarantine| {
        let request = Request::Quarantine(fence.clone(), quarantine);
        rig.ask(request)
            .map(|response| response == Response::Quarantine { recorded: true })
    };
    assert_eq!(ask(&mut crew.rig, quarantine(4, 9)), Ok(false));
    assert_eq!(
        ask(&mut crew.rig, quarantine(4, 9)),
        Ok(false),
        "asked again"
    );
    crew.rig.complete_writes();
    for (passed, recorded) in [(9, true), (12, true), (5, false)] {
        assert_eq!(
            ask(&mut crew.rig, quarantine(4, passed)),
            Ok(recorded),
            "from {passed}"
        );
    }
    crew.rig.complete_writes();
    let is_quarantine = |fact: &&Fact| matches!(fact, Fact::ShardQuarantined(_));
    assert_eq!(crew.rig.log.iter().filter(is_quarantine).count(), 2);

    crew.rig.restart();
    let mut worker = Worker::new(7);
    worker.join(&mut crew.rig).unwrap();
    crew.rig.complete_writes();
    match worker.get_world(&mut crew.rig).unwrap() {
        WorldState::Formed(world) => {
            assert_eq!(world.quarantines, [quarantine(4, 9), quarantine(4, 5)]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_shard_too_large_to_give_up_fails_the_run_by_name() {
    let mut crew = Crew::at_work(2, 100, 50);
    let fence = crew.workers[1].fence.clone();
    let request = Request::Quarantine(fence, quarantine(11, 0));
    assert_eq!(
        crew.rig.ask(request).unwrap(),
        Response::Quarantine { recorded: false }
    );
    let ended = crew.report(0, 1, Vec::new()).ended.unwrap();
    for part in [
        "rank 1 (worker w1-2",
        "cannot read s3://b/3.tar: it does not exist",
        "11 of 100 samples could not be used",
        "data.max_skip_fraction",
    ] {
        assert!(ended.reason.contains(part), "{}", ended.reason);
    }
    assert!(
        !crew
            .rig
            .log
            .iter()
            .any(|fact| matches!(fact, Fact::ShardQuarantined(_)))
    );
}

#[test]
fn a_lease_reaches_ahead_but_not_past_the_last_step() {
    let mut crew = Crew::at_work(1, 100, 50);
    let fence = crew.workers[0].fence.clone();
    for (step, through) in [(0, 64), (20, 84), (10, 84), (90, 100), (u64::MAX, 100)] {
        let lease = crew
            .rig
            .ask(Request::ExtendLease(fence.clone(), Step(step)));
        assert_eq!(lease, Ok(Response::Lease(Step(through))));
    }
}

#[test]
fn steps_are_taken_in_order_and_once() {
    let mut crew = Crew::at_work(1, 100, 50);
    let steps = |reply: ReportReply| (reply.received_step.0, reply.acknowledged_step.0);
    assert_eq!(steps(crew.report(0, 2, vec![1, 2])), (2, 0));
    assert_eq!(steps(crew.report(0, 4, vec![4])), (2, 0));
    assert_eq!(steps(crew.report(0, 4, vec![2, 3, 4])), (4, 0));
    // They are the worker's to keep until they are written.
    crew.rig.pass(Duration::from_secs(11));
    crew.rig.complete_writes();
    assert_eq!(steps(crew.report(0, 5, vec![5])), (5, 4));
    assert_eq!(crew.rig.metrics, (1..=5).map(Step).collect::<Vec<_>>());
}

#[test]
fn an_evaluation_is_taken_once_and_acknowledged_when_it_is_written() {
    let mut crew = Crew::at_work(2, 100, 50);
    let evaluation = |step| Evaluation {
        step: Step(step),
        metrics: [("val/x".to_owned(), 0.5)].into(),
    };
    let send = |crew: &mut Crew, steps: &[u64]| {
        let Request::Report(report) = crew.workers[0].report_request(40, Vec::new()) else {
            panic!("a report");
        };
        let report = Report {
            evaluations: steps.iter().copied().map(evaluation).collect(),
            ..report
        };
        match crew.rig.ask(Request::Report(report)).unwrap() {
            Response::Report(reply) => reply.acknowledged_evaluation,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(send(&mut crew, &[20]), Step(0));
    assert_eq!(send(&mut crew, &[20, 40]), Step(0));
    assert_eq!(crew.rig.evaluations, [evaluation(20), evaluation(40)]);
    assert_eq!(crew.rig.core.status().evaluation, Some(evaluation(40)));
    crew.report(0, 40, (1..=40).collect());
    crew.rig.pass(Duration::from_secs(11));
    crew.rig.complete_writes();
    assert_eq!(send(&mut crew, &[20, 40]), Step(40));
    // The steps from 31 on are redone, and with them their evaluation.
    crew.regroup(&[(0, 30), (1, 30)], None);
    crew.rig.complete_writes();
    crew.world_of(0);
    assert_eq!(crew.rig.core.status().evaluation, None);
    assert_eq!(send(&mut crew, &[40]), Step(30));
    assert_eq!(crew.rig.evaluations.len(), 3);
}

#[test]
fn a_write_that_fails_ends_the_run_with_its_reason() {
    let mut crew = Crew::at_work(1, 100, 50);
    crew.rig.event(Event::Flushed(Err("disk full".to_owned())));
    crew.leave(0, LeaveOutcome::Done);
    assert!(crew.failure().contains("disk full"));
}
