//! What a worker computes on: what cannot be had ends it with an error that says what is missing.

use crate::support::{Workspace, bounded_wait, coordinator, signal};
use rustix::process::Signal;

/// What is said of `cuda:0` where no GPU can be had; none where there may be one.
fn missing() -> Option<&'static str> {
    if cfg!(not(feature = "cuda")) {
        return Some("built without CUDA: cargo build --release --features cuda");
    }
    let driver = std::path::Path::new("/proc/driver/nvidia/version");
    match driver.exists() {
        true => {
            crate::support::say("skipped: this machine has an NVIDIA driver");
            None
        }
        false => Some("libcuda.so.1 cannot be opened: install NVIDIA's driver"),
    }
}

fn with_device(device: &str) -> impl Fn(String) -> String {
    let section = format!("worker: {{device: {device}}}\n");
    move |run| run + &section
}

#[test]
fn a_gpu_that_cannot_be_had_ends_train_with_what_is_missing_and_nothing_written() {
    let Some(missing) = missing() else { return };
    for (device, arguments) in [("cuda:0", [].as_slice()), ("cpu", &["--device", "cuda"])] {
        let workspace = Workspace::new(5, with_device(device));
        let arguments = [&["train", "run.yaml"], arguments].concat();
        let output = workspace.output(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(missing), "{errors}");
        assert!(errors.contains("or say worker.device: cpu"), "{errors}");
        assert!(!workspace.dir.join("runs").exists(), "{errors}");
    }
}

#[test]
fn nccl_without_a_gpu_ends_train_with_nothing_written() {
    let over_nccl = |run: String| run.replace("workers: 2", "workers: 2, collective: nccl");
    let workspace = Workspace::new(5, over_nccl);
    let output = workspace.output(&["train", "run.yaml", "--device", "cpu"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("computes on cpu"), "{errors}");
    assert!(!workspace.dir.join("runs").exists(), "{errors}");
}

#[test]
fn a_worker_whose_device_cannot_be_had_costs_the_run_nothing() {
    let Some(missing) = missing() else { return };
    let workspace = Workspace::new(12, with_device("cuda:0"));
    let (mut running, url) = coordinator(&workspace);
    let worker = ["worker", "--coordinator", &url, "--threads", "1"];
    let refused = |arguments: &[&str]| {
        let output = workspace.output(&[&worker, arguments].concat());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        errors
    };
    // By the run's file, by the command line, and both for several workers.
    for arguments in [[].as_slice(), &["--device", "cuda:1"], &["--workers", "2"]] {
        let errors = refused(arguments);
        assert!(errors.contains(missing), "{errors}");
    }
    let errors = refused(&["--workers", "2", "--device", "cuda"]);
    assert!(errors.contains(missing), "{errors}");
    let done = workspace.output(&[&worker[..], &["--workers", "2", "--device", "cpu"]].concat());
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    assert!(errors.contains("computes on cpu"), "{errors}");
    assert!(bounded_wait(&mut running).success());
    assert_eq!(workspace.metric("train/loss").len(), 12);
}

#[test]
fn what_a_device_cannot_do_is_refused_by_the_worker_that_has_it() {
    for (from, to, told) in [
        (
            "workers: 2",
            "workers: 2, collective: nccl",
            "cluster.collective nccl cannot be had: it needs an NVIDIA GPU, and this worker \
             computes on cpu; or say tcp",
        ),
        (
            "global_batch: 16",
            "global_batch: 16, precision: bf16",
            "train.precision bf16 needs an NVIDIA GPU of compute capability 8.0 or higher, and \
             this worker computes on cpu; say fp32",
        ),
    ] {
        let workspace = Workspace::new(12, |run| run.replace(from, to));
        let (mut running, url) = coordinator(&workspace);
        let output = workspace.output(&["worker", "--coordinator", &url, "--device", "cpu"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(told), "{errors}");
        signal(running.id(), Signal::TERM);
        bounded_wait(&mut running);
    }
}

#[test]
fn words_that_name_no_device_are_told_so() {
    let workspace = Workspace::new(5, |run| run);
    for device in ["gpu", "cuda:x", "cuda:-1"] {
        let arguments = ["worker", "--coordinator", "c:1", "--device", device];
        let output = workspace.output(&arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(
            errors.contains("is not auto, cpu, cuda, cuda:N"),
            "{errors}"
        );
    }
}
