//! `twinspan worker --workers N`.

use crate::support::{Workspace, bounded_output, bounded_wait, coordinator, processes_of, signal};
use rustix::process::Signal;
use serde_json::Value;
use std::process::{Child, Output, Stdio};

/// Two workers as one command, in a run of two.
struct Machine {
    workspace: Workspace,
    coordinator: Child,
    workers: Child,
}

impl Machine {
    fn start(steps: u64) -> Self {
        Self::start_in(Workspace::new(steps, |run| run))
    }

    fn start_in(workspace: Workspace) -> Self {
        let (coordinator, url) = coordinator(&workspace);
        let mut command = workspace.command(&[
            "worker",
            "--coordinator",
            &url,
            "--workers",
            "2",
            "--threads",
            "1",
            "--device",
            "cpu",
        ]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Self {
            workspace,
            coordinator,
            workers: child.expect("the binary starts"),
        }
    }

    fn processes(&self) -> Vec<u32> {
        processes_of(self.workers.id(), "worker")
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn workers_of_one_command_are_ranks_of_their_own_and_their_lines_tell_them_apart() {
    let machine = Machine::start(12);
    let output = bounded_output(machine.workers);
    let errors = errors(&output);
    assert!(output.status.success(), "{errors}");
    for worker in ["[worker 0] ", "[worker 1] "] {
        let lines = errors.lines().filter(|line| line.starts_with(worker));
        let text: Vec<&str> = lines.collect();
        let text = text.join("\n");
        assert!(text.contains("computes on cpu"), "{errors}");
        assert!(text.contains("left after step 12"), "{errors}");
    }
    assert!(
        errors.contains("rank 0 left") && errors.contains("rank 1 left"),
        "{errors}"
    );
    assert!(bounded_output(machine.coordinator).status.success());
    assert_eq!(machine.workspace.metric("train/loss").len(), 12);
}

#[test]
fn lines_of_json_are_told_apart_by_a_field() {
    let mut workspace = Workspace::new(6, |run| run);
    let json = ("TWINSPAN_LOG_FORMAT", "json".to_owned());
    workspace.env.push(json);
    let mut machine = Machine::start_in(workspace);
    let output = bounded_output(machine.workers);
    let errors = errors(&output);
    assert!(output.status.success(), "{errors}");
    let lines = errors.lines().map(|line| {
        let line: Result<Value, _> = serde_json::from_str(line);
        line.unwrap_or_else(|_| panic!("{errors}"))
    });
    let left = lines.filter(|line| line["message"].to_string().contains("left after step 6"));
    let mut processes: Vec<String> = left.map(|line| line["process"].to_string()).collect();
    processes.sort();
    assert_eq!(processes, ["\"worker 0\"", "\"worker 1\""]);
    bounded_wait(&mut machine.coordinator);
}

#[test]
fn one_sigterm_drains_all_workers_of_a_machine() {
    let machine = Machine::start(100_000);
    machine.workspace.wait_for_checkpoint_after(None);
    signal(machine.workers.id(), Signal::TERM);
    let output = bounded_output(machine.workers);
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(75), "{errors}");
    for worker in ["[worker 0] ", "[worker 1] "] {
        let said = |what: &str| {
            let mut lines = errors.lines().filter(|line| line.starts_with(worker));
            lines.any(|line| line.contains(what))
        };
        assert!(said("SIGTERM: leaving at the next boundary"), "{errors}");
        assert!(said("left after step"), "{errors}");
    }
    signal(machine.coordinator.id(), Signal::TERM);
    let output = bounded_output(machine.coordinator);
    assert!(output.status.success(), "what they had is saved");
}

#[test]
fn ctrl_c_before_anybody_has_joined_ends_all_workers_as_drained() {
    let workspace = Workspace::new(5, |run| run);
    let waits = ["worker", "--coordinator", "127.0.0.1:9", "--workers", "2"];
    let mut command = workspace.command(&waits);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the binary starts");
    wait_for_handlers(child.id());
    signal(child.id(), Signal::INT);
    let output = bounded_output(child);
    assert_eq!(output.status.code(), Some(75), "{}", errors(&output));
}

/// Waits until a process catches SIGINT.
fn wait_for_handlers(pid: u32) {
    let start = std::time::Instant::now();
    let catches = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & (1 << (Signal::INT.as_raw() - 1)) != 0)
    };
    while !catches() {
        assert!(start.elapsed() < crate::support::BOUND, "it never listens");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_worker_that_is_killed_is_started_again_and_the_others_go_on() {
    let machine = Machine::start(400);
    machine.workspace.wait_for_checkpoint_after(None);
    let [victim, other] = machine.processes()[..] else {
        panic!("two workers");
    };
    signal(victim, Signal::KILL);
    machine.workspace.wait_for_records("world_formed", 2);
    assert!(machine.processes().contains(&other), "it was not restarted");
    let output = bounded_output(machine.workers);
    let errors = errors(&output);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("(signal: 9 (SIGKILL)); it is started again"),
        "{errors}"
    );
    assert!(bounded_output(machine.coordinator).status.success());
    let (report, whole) = machine.workspace.audit("runs/toy");
    assert!(whole, "{report}");
}
