//! A whole run over a real S3 server: data, log, checkpoints.

use crate::bucket::Bucket;
use crate::support::{EMOJI, Workspace, bounded_output, bounded_wait, metric, signal};
use object_store::aws::AmazonS3Builder;
use rustix::process::Signal;
use std::time::Duration;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::proxy::{FaultyProxy, Plan};
use twinspan_testkit::servers::{Seaweed, or_skip};

/// More than an epoch of 263 steps.
const STEPS: u64 = 300;

/// A server with the emoji shards in its bucket.
struct Server {
    seaweed: Seaweed,
    bucket: Bucket,
    _directory: TempRun,
}

impl Server {
    fn start() -> Option<Self> {
        let directory = TempRun::new().expect("a directory");
        let seaweed = or_skip(Seaweed::start(directory.path()))?;
        let mut builder = AmazonS3Builder::new().with_bucket_name(seaweed.bucket());
        for (key, value) in seaweed.env() {
            let key = key.to_ascii_lowercase().parse().expect("a setting");
            builder = builder.with_config(key, value);
        }
        let bucket = Bucket::new(builder.build().expect("a client"));
        bucket.upload_emoji();
        Some(Self {
            seaweed,
            bucket,
            _directory: directory,
        })
    }

    /// The toy run with its data and its output in the bucket.
    fn workspace(&self, steps: u64) -> Workspace {
        let bucket = self.seaweed.bucket();
        let mut workspace = Workspace::new(steps, |run| {
            let run = run.replace(EMOJI, &format!("s3://{bucket}/emoji"));
            format!("{run}\noutput: s3://{bucket}/runs\n")
        });
        workspace.env = self.seaweed.env();
        workspace
    }

    /// One field of every line of the run's metrics.
    fn metric(&self, name: &str) -> Vec<(u64, serde_json::Value)> {
        metric(&self.bucket.text("runs/toy/metrics.jsonl"), name)
    }
}

/// The same run over local files.
fn undisturbed(steps: u64) -> Workspace {
    let workspace = Workspace::new(steps, |run| run);
    workspace.train(&["--no-eval"]);
    workspace
}

#[test]
fn a_run_in_a_bucket_is_the_run_on_files_and_goes_on_after_a_stop() {
    let Some(server) = Server::start() else {
        return;
    };
    let files = undisturbed(STEPS);
    let workspace = server.workspace(STEPS);
    let mut front = workspace.start(&[]);
    server.bucket.wait_for_checkpoints("runs/toy", 2);
    signal(front.id(), Signal::INT);
    assert_eq!(bounded_wait(&mut front).code(), Some(0));
    workspace.train(&["--no-eval"]);
    assert_eq!(server.metric("train/loss"), files.metric("train/loss"));
    assert_eq!(server.metric("sample_hash"), files.metric("sample_hash"));
    let kept = server.bucket.list("runs/toy/checkpoints");
    let manifests = kept.iter().filter(|path| path.ends_with("manifest.json"));
    assert_eq!(manifests.count(), 2, "keep_last: {kept:?}");
    let url = format!("s3://{}/runs/toy", server.seaweed.bucket());
    let (report, whole) = workspace.audit(&url);
    assert!(whole, "{report}");
    assert!(!workspace.dir.join("runs").exists(), "nothing on files");
}

#[test]
fn a_server_that_is_killed_and_started_again_costs_no_sample() {
    let Some(mut server) = Server::start() else {
        return;
    };
    let files = undisturbed(STEPS);
    let workspace = server.workspace(STEPS);
    let front = workspace.start(&["--no-eval"]);
    server.bucket.wait_for_checkpoints("runs/toy", 2);
    server.seaweed.kill().expect("killed");
    std::thread::sleep(Duration::from_secs(3));
    server.seaweed.restart().expect("started again");
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(server.metric("train/loss"), files.metric("train/loss"));
    assert_eq!(server.metric("sample_hash"), files.metric("sample_hash"));
}

/// Trains through a proxy that follows `plan`, and shows that it did its work.
fn train_through(server: &Server, plan: Plan, workspace: &mut Workspace) {
    let proxy = FaultyProxy::start(server.seaweed.address(), plan).expect("a proxy");
    workspace.env = server.seaweed.env_at(&proxy.endpoint());
    workspace.train(&["--no-eval"]);
    let faults = proxy.counts();
    let disturbed = faults.refused + faults.reset + faults.truncated;
    assert!(disturbed > 10, "{faults:?}");
}

#[test]
fn a_network_that_cuts_delays_and_truncates_reads_changes_no_number() {
    let Some(server) = Server::start() else {
        return;
    };
    let files = undisturbed(STEPS);
    let bucket = server.seaweed.bucket();
    let mut workspace = Workspace::new(STEPS, |run| {
        run.replace(EMOJI, &format!("s3://{bucket}/emoji"))
    });
    train_through(&server, Plan::rough(7, 128 << 10), &mut workspace);
    assert_eq!(workspace.metric("train/loss"), files.metric("train/loss"));
    assert_eq!(workspace.metric("sample_hash"), files.metric("sample_hash"));
    workspace.env = server.seaweed.env();
    let (report, whole) = workspace.audit("runs/toy");
    assert!(whole, "{report}");
}

#[test]
fn a_network_that_cuts_delays_and_truncates_writes_loses_no_checkpoint() {
    let Some(server) = Server::start() else {
        return;
    };
    let files = undisturbed(100);
    let mut workspace = server.workspace(100);
    // A part of a checkpoint of 3 MB must get through at one go.
    train_through(&server, Plan::rough(8, 6 << 20), &mut workspace);
    assert_eq!(server.metric("train/loss"), files.metric("train/loss"));
    let kept = server.bucket.list("runs/toy/checkpoints");
    let manifests = kept.iter().filter(|path| path.ends_with("manifest.json"));
    assert_eq!(manifests.count(), 2, "{kept:?}");
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_and_nothing_is_written() {
    let Some(server) = Server::start() else {
        return;
    };
    let refused = |workspace: &Workspace| {
        let output = workspace.output(&["train", "run.yaml"]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert_eq!(server.bucket.list("runs"), Vec::<String>::new());
        errors
    };
    let mut workspace = server.workspace(20);
    workspace
        .env
        .retain(|(key, _)| *key != "AWS_SECRET_ACCESS_KEY");
    workspace
        .env
        .push(("AWS_SECRET_ACCESS_KEY", "wrong".to_owned()));
    let errors = refused(&workspace);
    assert!(errors.contains("check the credentials"), "{errors}");

    let workspace = Workspace {
        env: server.seaweed.env(),
        ..Workspace::new(20, |run| run.replace(EMOJI, "s3://nowhere/emoji"))
    };
    let errors = refused(&workspace);
    assert!(
        errors.contains("s3://nowhere/emoji/train/00000.tar") && errors.contains("bucket"),
        "{errors}"
    );

    server.bucket.delete("emoji/train/00003.tar");
    let errors = refused(&server.workspace(20));
    assert!(
        errors.contains("emoji/train/00003.tar does not exist"),
        "{errors}"
    );
}

#[test]
fn what_was_read_once_is_kept_on_disk_and_not_asked_for_again() {
    let Some(server) = Server::start() else {
        return;
    };
    // An epoch of 4,208 samples is 263 steps of 16.
    let bucket = server.seaweed.bucket();
    let mut workspace = Workspace::new(600, |run| {
        run.replace(EMOJI, &format!("s3://{bucket}/emoji")).replace(
            "shuffle_window: 64",
            "shuffle_window: 64, cache: {dir: cache, size: 64MiB}",
        )
    });
    workspace.env = server.seaweed.env();
    let front = workspace.start(&["--no-eval"]);
    workspace.wait_for_checkpoint_after(Some(300));
    for shard in 0..9 {
        server.bucket.delete(&format!("emoji/train/{shard:05}.tar"));
    }
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let files = undisturbed(600);
    assert_eq!(workspace.metric("train/loss"), files.metric("train/loss"));
}

#[test]
fn a_shard_that_goes_missing_in_the_middle_ends_the_run_by_name() {
    let Some(server) = Server::start() else {
        return;
    };
    let workspace = server.workspace(100_000);
    let front = workspace.start(&[]);
    server.bucket.wait_for_checkpoints("runs/toy", 1);
    for shard in 0..9 {
        server.bucket.delete(&format!("emoji/train/{shard:05}.tar"));
    }
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains(".tar does not exist"), "{errors}");
}
