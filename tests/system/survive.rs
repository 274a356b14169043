//! A run goes on when its workers are killed or frozen.

use crate::support::{
    Workspace, bounded_output, coordinator, process_of, processes_of, say, signal,
};
use rustix::process::Signal;
use serde_json::Value;
use std::process::{Child, Stdio};
use std::time::Instant;

const STEPS: u64 = 900;

/// Four workers, and nothing that a lost one could not leave behind.
fn four_workers(run: String) -> String {
    run.replace("workers: 2", "workers: 4")
}

/// Kills a worker of a run, and waits until the others have gone on without it.
fn kill_a_worker(workspace: &Workspace, front: u32, draw: usize) -> u32 {
    let generations = workspace.records("world_formed");
    let all = processes_of(front, "worker");
    let victim = all[draw % all.len()];
    signal(victim, Signal::KILL);
    workspace.wait_for_records("world_formed", generations + 1);
    victim
}

/// Kills the coordinator of a run, and waits until another has taken its place.
fn kill_the_coordinator(workspace: &Workspace, front: u32) {
    let terms = workspace.records("term_opened");
    signal(process_of(front, "coordinator"), Signal::KILL);
    workspace.wait_for_records("term_opened", terms + 1);
}

/// Means of the loss over windows of this many steps are compared.
const WINDOW: usize = 50;

fn losses(workspace: &Workspace, after: u64) -> Vec<f64> {
    let losses = workspace.metric("train/loss").into_iter();
    let losses = losses.filter(|(step, _)| *step > after);
    losses
        .map(|(_, loss)| loss.as_f64().expect("a loss"))
        .collect()
}

fn means(losses: &[f64]) -> Vec<f64> {
    let windows = losses.chunks_exact(WINDOW);
    windows
        .map(|window| window.iter().sum::<f64>() / WINDOW as f64)
        .collect()
}

/// One run from one checkpoint, calm with one to four workers, and with four of which five are
/// killed, and two coordinators.
#[test]
fn five_killed_workers_and_two_killed_coordinators_change_nothing_but_the_order_of_sums() {
    let begun = Workspace::new(STEPS, four_workers);
    let front = begun.start(&["--no-eval"]);
    begun.wait_for_checkpoint_after(Some(50));
    signal(front.id(), Signal::INT);
    assert!(bounded_output(front).status.success());
    let common = begun.newest_checkpoint().expect("a checkpoint");

    let goes_on = |workers: &str| {
        let calm = Workspace::new(STEPS, four_workers);
        calm.copy_run(&begun);
        calm.train(&["--no-eval", "--workers", workers]);
        calm
    };
    let calm = ["1", "2", "3", "4"].map(goes_on);

    let disturbed = Workspace::new(STEPS, four_workers);
    disturbed.copy_run(&begun);
    let generations = disturbed.records("world_formed");
    let front = disturbed.start(&["--no-eval"]);
    let pid = front.id();
    disturbed.wait_for_records("world_formed", generations + 1);
    let mut untouched = processes_of(pid, "worker");
    for (round, draw) in [2, 0, 3, 1, 0].into_iter().enumerate() {
        let victim = kill_a_worker(&disturbed, pid, draw);
        untouched.retain(|pid| *pid != victim);
        // The first one dies within the first steps after the checkpoint.
        let step = disturbed.newest_checkpoint();
        disturbed.wait_for_checkpoint_after(step);
        if round % 2 == 1 {
            kill_the_coordinator(&disturbed, pid);
            disturbed.wait_for_checkpoint_after(disturbed.newest_checkpoint());
        }
    }
    let still_there = processes_of(pid, "worker");
    assert!(
        untouched.iter().all(|pid| still_there.contains(pid)),
        "a healthy worker was restarted"
    );
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let times = errors.lines().filter(|line| line.contains(" s after "));
    times.for_each(say);

    let [.., four] = &calm;
    assert_eq!(disturbed.metric("sample_hash"), four.metric("sample_hash"));
    let (report, whole) = disturbed.audit("runs/toy");
    assert!(whole, "{report}");
    let calm = calm.each_ref().map(|calm| losses(calm, common));
    let disturbed = losses(&disturbed, common);
    for (step, (loss, calm)) in disturbed.iter().zip(&calm[3]).take(20).enumerate() {
        assert!(
            (loss - calm).abs() < 1e-4,
            "step {step} on: {loss} and {calm}"
        );
    }
    let calm = calm.each_ref().map(|losses| means(losses));
    for (window, mean) in means(&disturbed).into_iter().enumerate() {
        let of_calm = calm.iter().map(|means| means[window]);
        let least = of_calm.clone().fold(f64::INFINITY, f64::min);
        let most = of_calm.fold(f64::NEG_INFINITY, f64::max);
        // Five curves: the fifth may be outside the other four by as much as they differ.
        let spread = (most - least).max(1e-4);
        assert!(
            (least - spread..=most + spread).contains(&mean),
            "window {window}: {mean} is not within {least} and {most}"
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
    let stopped = Instant::now();
    workspace.wait_for_records("world_formed", 2);
    let step = workspace.newest_checkpoint();
    workspace.wait_for_checkpoint_after(step);
    say(&format!(
        "the others had taken up to 20 further steps {:.2} s after a worker froze \
         (heartbeat_timeout 2 s)",
        stopped.elapsed().as_secs_f64()
    ));
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
fn a_killed_coordinator_is_replaced_and_the_generation_goes_on_without_a_restart() {
    let undisturbed = Workspace::new(STEPS, |run| run);
    undisturbed.train(&["--no-eval"]);
    let workspace = Workspace::new(STEPS, |run| {
        run.replace("every_steps: 10", "every_steps: 100")
    });
    let front = workspace.start(&["--no-eval"]);
    // All have their world: one that was logged and not delivered would be formed anew.
    workspace.wait_for_checkpoint_after(None);
    let workers = processes_of(front.id(), "worker");
    for term in 2..=3 {
        let step = workspace.newest_checkpoint();
        signal(process_of(front.id(), "coordinator"), Signal::KILL);
        workspace.wait_for_records("term_opened", term);
        workspace.wait_for_checkpoint_after(step);
    }
    assert_eq!(
        workspace.records("world_formed"),
        1,
        "the generation was left"
    );
    assert_eq!(
        processes_of(front.id(), "worker"),
        workers,
        "a worker was restarted"
    );
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("generation 1 goes on under this coordinator"),
        "{errors}"
    );
    assert_eq!(
        workspace.metric("train/loss"),
        undisturbed.metric("train/loss"),
        "bit for bit"
    );
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

/// A coordinator and workers that were started one by one.
struct Cluster {
    workspace: Workspace,
    coordinator: Child,
    url: String,
}

impl Cluster {
    fn start(workspace: Workspace) -> Self {
        let (coordinator, url) = coordinator(&workspace);
        Self {
            workspace,
            coordinator,
            url,
        }
    }

    /// The process that holds a rank.
    fn pid_of_rank(&self, rank: u64) -> u32 {
        let output = self.workspace.output(&["status", &self.url, "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let ranks = status["ranks"].as_array().expect("ranks");
        let held = ranks.iter().find(|row| row["rank"].as_u64() == Some(rank));
        let pid = held
            .and_then(|row| row["pid"].as_u64())
            .expect("its process");
        u32::try_from(pid).expect("a process id")
    }

    fn worker(&self) -> Child {
        let arguments = ["worker", "--coordinator", &self.url, "--threads", "1"];
        let mut command = self.workspace.command(&arguments);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        child.expect("the binary starts")
    }
}

#[test]
fn a_worker_that_is_terminated_leaves_in_order_and_the_others_go_on() {
    // Rank 0, which delivers the steps of all, and another one.
    for rank in [0, 1] {
        let cluster = Cluster::start(Workspace::new(STEPS, |run| run));
        let workers = [cluster.worker(), cluster.worker()];
        cluster.workspace.wait_for_checkpoint_after(None);
        let goes = cluster.pid_of_rank(rank);
        signal(goes, Signal::TERM);
        for worker in workers {
            let expected = if worker.id() == goes { 75 } else { 0 };
            let left = bounded_output(worker);
            let errors = String::from_utf8_lossy(&left.stderr);
            assert_eq!(left.status.code(), Some(expected), "{errors}");
        }
        let output = bounded_output(cluster.coordinator);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert!(
            errors.contains("has left, as it was told to") && errors.contains("1 worker goes on"),
            "{errors}"
        );
        assert!(!errors.contains("waiting for rank"), "{errors}");
        let (report, whole) = cluster.workspace.audit("runs/toy");
        assert!(whole, "{report}");
    }
}

#[test]
fn all_workers_that_are_terminated_save_what_they_have_and_the_run_waits_for_others() {
    let cluster = Cluster::start(Workspace::new(STEPS, |run| {
        run.replace("every_steps: 10", "every_steps: 50")
    }));
    let workers = [cluster.worker(), cluster.worker()];
    cluster.workspace.wait_for_checkpoint_after(None);
    for worker in &workers {
        signal(worker.id(), Signal::TERM);
    }
    for worker in workers {
        let left = bounded_output(worker);
        let errors = String::from_utf8_lossy(&left.stderr);
        assert_eq!(left.status.code(), Some(75), "{errors}");
        let step = cluster.workspace.newest_checkpoint().expect("a checkpoint");
        let saved = format!("left after step {step}\n");
        assert!(
            errors.contains(&saved),
            "{step} is not the last step: {errors}"
        );
    }
    let others = [cluster.worker(), cluster.worker()];
    let output = bounded_output(cluster.coordinator);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let _ = others.map(bounded_output);
    let (report, whole) = cluster.workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn a_coordinator_that_was_taken_for_dead_ends_when_it_wakes() {
    let workspace = Workspace::new(STEPS, |run| {
        run.replace(
            "join_timeout: 30s",
            "join_timeout: 120s, takeover_after: 1s",
        )
    });
    let (frozen, url) = coordinator(&workspace);
    let second = workspace.output(&["coordinator", "run.yaml"]);
    let refused = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(2), "{refused}");
    assert!(refused.contains("is run by a coordinator at"), "{refused}");

    signal(frozen.id(), Signal::STOP);
    let (taker, taken_over) = coordinator(&workspace);
    assert_ne!(url, taken_over);
    signal(frozen.id(), Signal::CONT);
    let woken = bounded_output(frozen);
    let errors = String::from_utf8_lossy(&woken.stderr);
    assert_eq!(woken.status.code(), Some(1), "{errors}");
    assert!(
        errors.contains("another coordinator took the run over"),
        "{errors}"
    );

    signal(taker.id(), Signal::TERM);
    let output = bounded_output(taker);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn numbers_that_are_not_finite_lead_to_one_rollback_and_then_to_a_failure_that_says_what_to_do() {
    let workspace = Workspace::new(100, |run| run.replace("lr: 1e-3", "lr: 1e30"));
    let output = workspace.output(&["train", "run.yaml", "--no-eval"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for words in [
        "trying it once more",
        "and passes over them",
        "lower optimizer.lr",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    assert_eq!(workspace.records("rolled_back"), 1);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let workspace = Workspace::new(STEPS, |run| run);
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_checkpoint_after(Some(10));
    signal(front.id(), Signal::INT);
    assert!(bounded_output(front).status.success());
    let step = workspace.newest_checkpoint().expect("a checkpoint");
    let newest = workspace.checkpoint_at(step);
    let part = newest.join("open_clip_model.safetensors");
    let mut bytes = std::fs::read(&part).expect("a part");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&part, bytes).expect("written");

    let output = workspace.output(&["train", "run.yaml", "--no-eval"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(
        errors.contains("its size or SHA-256 is not the manifest's: the run goes on from"),
        "{errors}"
    );
    assert_eq!(workspace.records("checkpoint_damaged"), 1);
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn time_makes_checkpoints_due_between_multiples_of_steps() {
    let workspace = Workspace::new(STEPS, |run| {
        run.replace("every_steps: 10", "every_steps: 10000, every_minutes: 0.01")
    });
    workspace.train(&["--no-eval"]);
    assert!(
        workspace.records("checkpoint_committed") > 2,
        "one each 0.6 s"
    );
}
