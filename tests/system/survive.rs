//! A run goes on when its workers are killed or frozen.

use crate::support::{Workspace, bounded_output, process_of, processes_of, signal};
use rustix::process::Signal;
use std::process::Child;

const STEPS: u64 = 900;

/// Four workers, and nothing that a lost one could not leave behind.
fn four_workers(run: String) -> String {
    run.replace("workers: 2", "workers: 4")
}

/// The run ends in good order after another generation, with the undisturbed run's samples at every
/// step and a whole ledger.
fn ends_with_the_samples_of(undisturbed: &Workspace, workspace: &Workspace, front: Child) {
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("go on from step"), "{errors}");
    assert_eq!(
        workspace.metric("sample_hash"),
        undisturbed.metric("sample_hash")
    );
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn killed_workers_are_replaced_and_no_sample_is_lost_or_double() {
    let undisturbed = Workspace::new(STEPS, |run| run);
    undisturbed.train(&["--no-eval"]);

    let workspace = Workspace::new(STEPS, four_workers);
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_checkpoint_after(None);
    let mut untouched = processes_of(front.id(), "worker");
    for victim in 0..3 {
        let generations = workspace.records("world_formed");
        let all = processes_of(front.id(), "worker");
        let victim = all[victim % all.len()];
        untouched.retain(|pid| *pid != victim);
        signal(victim, Signal::KILL);
        // Without it, and with the one that takes its place.
        workspace.wait_for_records("world_formed", generations + 1);
        let step = workspace.newest_checkpoint();
        workspace.wait_for_checkpoint_after(step);
    }
    let still_there = processes_of(front.id(), "worker");
    assert!(
        untouched.iter().all(|pid| still_there.contains(pid)),
        "a healthy worker was restarted"
    );
    ends_with_the_samples_of(&undisturbed, &workspace, front);
    let losses = workspace
        .metric("train/loss")
        .into_iter()
        .zip(undisturbed.metric("train/loss"));
    for ((step, loss), (_, undisturbed)) in losses.take(20) {
        let (loss, undisturbed) = (
            loss.as_f64().expect("a loss"),
            undisturbed.as_f64().expect("a loss"),
        );
        assert!(
            (loss - undisturbed).abs() < 1e-4,
            "step {step}: {loss} and {undisturbed}"
        );
    }
}

#[test]
fn a_frozen_worker_is_given_up_and_comes_back_when_it_wakes() {
    let workspace = Workspace::new(STEPS, four_workers);
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_checkpoint_after(None);
    let frozen = processes_of(front.id(), "worker")[1];
    signal(frozen, Signal::STOP);
    workspace.wait_for_records("world_formed", 2);
    signal(frozen, Signal::CONT);
    workspace.wait_for_records("world_formed", 3);
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("no word from it") && errors.contains("joining again"),
        "{errors}"
    );
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn a_killed_coordinator_is_replaced_and_workers_go_on_from_the_step_they_had_come_to() {
    let undisturbed = Workspace::new(STEPS, |run| run);
    undisturbed.train(&["--no-eval"]);
    let workspace = Workspace::new(STEPS, |run| {
        run.replace("every_steps: 10", "every_steps: 400")
    });
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_records("world_formed", 1);
    let workers = processes_of(front.id(), "worker");
    for term in 2..=3 {
        let step = workspace.newest_checkpoint();
        signal(process_of(front.id(), "coordinator"), Signal::KILL);
        workspace.wait_for_records("world_formed", term);
        workspace.wait_for_checkpoint_after(step);
    }
    assert_eq!(
        processes_of(front.id(), "worker"),
        workers,
        "a worker was restarted"
    );
    ends_with_the_samples_of(&undisturbed, &workspace, front);
}
