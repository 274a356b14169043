//! No process outlives the run.

use crate::support::{Workspace, bounded_wait, signal};
use rustix::process::Signal;
use std::time::{Duration, Instant};
use twinspan_testkit::harness::{descendants, is_alive};

/// What is promised for the end of every process once the front one is gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

fn started() -> (Workspace, std::process::Child, Vec<u32>) {
    let workspace = Workspace::new(100_000, |run| run);
    let front = workspace.start(&[]);
    workspace.wait_for_checkpoint(10);
    let children = descendants(front.id());
    assert_eq!(children.len(), 3, "one coordinator and two workers");
    (workspace, front, children)
}

#[test]
fn kill_9_of_the_front_process_leaves_no_process_behind() {
    let (_workspace, mut front, children) = started();
    signal(front.id(), Signal::KILL);
    bounded_wait(&mut front);
    let start = Instant::now();
    while children.iter().any(|child| is_alive(*child)) {
        assert!(
            start.elapsed() < GONE_WITHIN,
            "a process outlived the run by 5 s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    let (_workspace, mut front, children) = started();
    for child in &children {
        signal(*child, Signal::STOP);
    }
    signal(front.id(), Signal::INT);
    std::thread::sleep(Duration::from_millis(200));
    signal(front.id(), Signal::INT);
    assert_eq!(bounded_wait(&mut front).code(), Some(130));
    let start = Instant::now();
    while children.iter().any(|child| is_alive(*child)) {
        assert!(
            start.elapsed() < GONE_WITHIN,
            "a process outlived the run by 5 s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn sigterm_stops_in_order() {
    let (_workspace, mut front, children) = started();
    signal(front.id(), Signal::TERM);
    assert_eq!(bounded_wait(&mut front).code(), Some(0));
    assert!(children.iter().all(|child| !is_alive(*child)));
}
