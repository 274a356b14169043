//! No process outlives the run.

use crate::support::{Workspace, bounded_wait, signal};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};
use twinspan_testkit::harness::{descendants, is_alive};

/// What is promised for the end of every process once the front one is gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

fn started() -> (Workspace, std::process::Child, Vec<u32>) {
    let workspace = Workspace::new(100_000, |run| run);
    let front = workspace.start(&[]);
    workspace.wait_for_checkpoint_after(None);
    let children = descendants(front.id());
    assert_eq!(children.len(), 3, "one coordinator and two workers");
    (workspace, front, children)
}

fn assert_gone(processes: &[u32]) {
    let start = Instant::now();
    while processes.iter().any(|child| is_alive(*child)) {
        assert!(
            start.elapsed() < GONE_WITHIN,
            "a process outlived the run by 5 s"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kill_9_of_the_front_process_leaves_no_process_behind() {
    let (_workspace, mut front, children) = started();
    signal(front.id(), Signal::KILL);
    bounded_wait(&mut front);
    assert_gone(&children);
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    let (_workspace, mut front, children) = started();
    for child in &children {
        signal(*child, Signal::STOP);
    }
    signal(front.id(), Signal::INT);
    let errors = BufReader::new(front.stderr.take().expect("standard error"));
    let mut lines = errors.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("stopping: ")));
    signal(front.id(), Signal::INT);
    assert_eq!(bounded_wait(&mut front).code(), Some(130));
    assert_gone(&children);
}

#[test]
fn sigterm_stops_in_order() {
    let (_workspace, mut front, children) = started();
    signal(front.id(), Signal::TERM);
    assert_eq!(bounded_wait(&mut front).code(), Some(0));
    assert!(children.iter().all(|child| !is_alive(*child)));
}
