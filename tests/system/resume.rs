//! Stopping and going on.

use crate::support::{Workspace, bounded_wait, signal};
use rustix::process::Signal;
use twinspan_testkit::harness::descendants;

/// Steps of the runs below: long enough to be stopped in the middle.
const STEPS: u64 = 300;

fn undisturbed() -> Workspace {
    let workspace = Workspace::new(STEPS, |run| run);
    workspace.train(&[]);
    workspace
}

#[test]
fn ctrl_c_finishes_the_step_and_the_same_command_goes_on_from_it_exactly() {
    let whole = undisturbed();
    let parts = Workspace::new(STEPS, |run| run);
    for _ in 0..2 {
        let begun = parts.newest_checkpoint();
        let mut front = parts.start(&[]);
        parts.wait_for_checkpoint_after(begun);
        let children = descendants(front.id());
        signal(front.id(), Signal::INT);
        let status = bounded_wait(&mut front);
        assert_eq!(status.code(), Some(0));
        assert!(
            children
                .iter()
                .all(|child| !twinspan_testkit::harness::is_alive(*child))
        );
    }
    parts.train(&[]);
    assert_eq!(parts.metric("train/loss"), whole.metric("train/loss"));
    assert_eq!(parts.metric("sample_hash"), whole.metric("sample_hash"));
}

#[test]
fn a_run_killed_at_any_moment_goes_on_from_its_newest_checkpoint_exactly() {
    let whole = undisturbed();
    let parts = Workspace::new(STEPS, |run| run);
    for _ in 0..2 {
        let begun = parts.newest_checkpoint();
        let mut front = parts.start(&[]);
        parts.wait_for_checkpoint_after(begun);
        signal(front.id(), Signal::KILL);
        bounded_wait(&mut front);
    }
    parts.train(&[]);
    assert_eq!(parts.metric("train/loss"), whole.metric("train/loss"));
}
