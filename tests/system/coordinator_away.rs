//! A coordinator that is away holds up no step.

use crate::support::{Workspace, bounded_wait, process_of, signal};
use rustix::process::Signal;
use std::time::Duration;

/// Longer than the heartbeat's timeout of 2 s.
const AWAY: Duration = Duration::from_secs(4);

#[test]
fn workers_go_on_while_the_coordinator_is_frozen_and_nobody_is_lost() {
    let workspace = Workspace::new(100_000, |run| run);
    let mut front = workspace.start(&[]);
    // Late enough for the coordinator to know the pace, on which the lease depends.
    workspace.wait_for_checkpoint_after(Some(300));
    let coordinator = process_of(front.id(), "coordinator");
    signal(coordinator, Signal::STOP);
    std::thread::sleep(AWAY);
    signal(coordinator, Signal::CONT);
    workspace.wait_for_checkpoint_after(workspace.newest_checkpoint());
    signal(front.id(), Signal::INT);
    assert_eq!(bounded_wait(&mut front).code(), Some(0));
    let longest = workspace.longest_step();
    assert!(
        longest < AWAY.as_secs_f64() / 2.0,
        "a step took {longest} s while the coordinator was away"
    );
}
