//! A run goes on when the link of a machine goes down and comes back.

use crate::support::{BOUND, Workspace, bounded_output, bounded_wait};
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use twinspan_testkit::netns::{Network, or_skip};

/// The machine of the coordinator; one for each worker follows.
const COORDINATOR: u8 = 0;
const WORKERS: u8 = 3;

/// A coordinator and workers, each on a machine of its own.
struct Cluster {
    /// First, since fields are dropped in order: a process ends when its standard input does.
    processes: Vec<Child>,
    workspace: Workspace,
    network: Network,
}

impl Cluster {
    fn start(network: Network, workspace: Workspace) -> Self {
        let mut cluster = Self {
            workspace,
            network,
            processes: Vec::new(),
        };
        let listen = format!("{}:0", cluster.network.address(COORDINATOR));
        cluster.spawn(
            COORDINATOR,
            &["coordinator", "run.yaml", "--listen", &listen],
        );
        let url = cluster.url();
        for machine in 1..=WORKERS {
            let host = cluster.network.address(machine).to_string();
            let arguments = ["worker", "--coordinator", &url, "--host", &host];
            cluster.spawn(machine, &[&arguments[..], &["--threads", "1"]].concat());
        }
        cluster
    }

    fn spawn(&mut self, machine: u8, arguments: &[&str]) {
        let command = self.workspace.command(arguments);
        let log = |kind: &str| {
            let file = self.workspace.dir.join(format!("{machine}.{kind}"));
            File::create(file).expect("a file")
        };
        let mut inside: Command = self.network.on(machine, &command);
        inside
            .arg("--parent-pipe")
            .env("RAYON_NUM_THREADS", "1")
            .stdin(Stdio::piped())
            .stdout(log("out"))
            .stderr(log("err"));
        self.processes.push(inside.spawn().expect("ip starts"));
    }

    fn read(&self, machine: u8, kind: &str) -> String {
        let file = self.workspace.dir.join(format!("{machine}.{kind}"));
        std::fs::read_to_string(file).expect("what it printed")
    }

    /// The coordinator's reports, one JSON object a line.
    fn reports(&self) -> Vec<Value> {
        let text = self.read(COORDINATOR, "out");
        let lines = text.split_inclusive('\n');
        let whole = lines.filter(|line| line.ends_with('\n'));
        whole
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }

    /// Where the coordinator listens, once it does.
    fn url(&self) -> String {
        let start = Instant::now();
        loop {
            if let Some(report) = self.reports().first() {
                return report["url"].as_str().expect("a URL").to_owned();
            }
            let errors = self.read(COORDINATOR, "err");
            assert!(start.elapsed() < BOUND, "no coordinator: {errors}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that were started at the beginning, and no others, come to the end of the run
    /// in good order; gives the coordinator's log.
    fn ends_at(&mut self, step: u64) -> String {
        for (machine, process) in (0..).zip(std::mem::take(&mut self.processes).iter_mut()) {
            let status = bounded_wait(process);
            let errors = self.read(machine, "err");
            assert!(status.success(), "machine {machine}, {status}: {errors}");
        }
        let reports = self.reports();
        let last = reports.last().expect("a report");
        assert_eq!(
            (&last["event"], &last["step"]),
            (&"ended".into(), &step.into())
        );
        self.read(COORDINATOR, "err")
    }
}

/// A run of three workers that outlives its faults, and its calm twin.
fn runs(steps: u64, edit: impl Fn(String) -> String) -> (Workspace, Workspace) {
    let three_workers = |run: String| edit(run.replace("workers: 2", "workers: 3"));
    (
        Workspace::new(steps, three_workers),
        Workspace::new(steps, &edit),
    )
}

/// Ends the calm twin.
fn ended(calm: Child) {
    let output = bounded_output(calm);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
}

#[test]
fn a_worker_whose_link_goes_down_is_left_behind_and_heals_when_it_is_up_again() {
    const STEPS: u64 = 2000;
    const CUT_OFF: u8 = 2;
    let Some(network) = or_skip(Network::start(1 + WORKERS)) else {
        return;
    };
    let (workspace, undisturbed) = runs(STEPS, |run| run);
    let calm = undisturbed.start(&["--no-eval", "--workers", "1"]);
    let mut cluster = Cluster::start(network, workspace);
    cluster.workspace.wait_for_checkpoint_after(None);
    cluster.network.cut(CUT_OFF).expect("cut");
    cluster.workspace.wait_for_records("world_formed", 2);
    cluster.network.mend(CUT_OFF).expect("mended");
    cluster.workspace.wait_for_records("world_formed", 3);
    let log = cluster.ends_at(STEPS);
    assert!(log.contains("generation 2: 2 workers"), "{log}");
    assert!(log.contains("generation 3: 3 workers"), "{log}");
    let healed = cluster.read(CUT_OFF, "err");
    assert!(healed.contains("healed from rank"), "{healed}");
    ended(calm);
    cluster.workspace.assert_same_as(&undisturbed);
}

#[test]
fn workers_go_on_while_the_coordinators_link_is_down_for_30_seconds() {
    const STEPS: u64 = 6000;
    const AWAY: Duration = Duration::from_secs(30);
    let Some(network) = or_skip(Network::start(1 + WORKERS)) else {
        return;
    };
    let (workspace, undisturbed) = runs(STEPS, |run| run);
    let calm = undisturbed.start(&["--no-eval", "--workers", "1"]);
    let mut cluster = Cluster::start(network, workspace);
    // Late enough for the coordinator to know the pace, on which the lease depends.
    cluster.workspace.wait_for_checkpoint_after(Some(300));
    cluster.network.cut(COORDINATOR).expect("cut");
    std::thread::sleep(AWAY);
    cluster.network.mend(COORDINATOR).expect("mended");
    let told = cluster.ends_at(STEPS);
    assert_eq!(cluster.workspace.records("world_formed"), 1, "{told}");
    let longest = cluster.workspace.longest_step();
    assert!(
        longest < AWAY.as_secs_f64() / 3.0,
        "a step took {longest} s while the coordinator was away"
    );
    ended(calm);
    cluster.workspace.assert_same_as(&undisturbed);
}
