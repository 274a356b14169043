//! A small run in a directory of its own.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use twinspan_testkit::harness::{TempRun, descendants, wait_with_timeout};

/// Longest wait for anything in these tests.
pub const BOUND: Duration = Duration::from_secs(120);

/// The emoji pictures.
pub const EMOJI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/emoji");

/// A directory with a run file.
pub struct Workspace {
    pub dir: TempRun,
    /// Variables of every process that is started here.
    pub env: Vec<(&'static str, String)>,
}

impl Workspace {
    /// A workspace with the toy run of `steps` steps, after `edit` changed its text.
    pub fn new(steps: u64, edit: impl Fn(String) -> String) -> Self {
        let dir = TempRun::new().expect("a temporary directory");
        let workspace = Self {
            dir,
            env: Vec::new(),
        };
        workspace.write_run("run.yaml", &edit(toy_run(steps)));
        workspace
    }

    pub fn write_run(&self, name: &str, text: &str) -> PathBuf {
        self.dir.write(name, text.as_bytes()).expect("a run file")
    }

    /// The run's directory.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.join("runs/toy")
    }

    /// The binary with its working directory here.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinspan"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            // Also in a container, where lines are JSON by themselves.
            .env("TWINSPAN_LOG_FORMAT", "text")
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end, within the bound.
    pub fn output(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.expect("the binary starts");
        bounded_output(child)
    }

    /// Trains to the end and gives the JSON result.
    pub fn train(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = ["train", "run.yaml", "--json"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let output = self.output(&all);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "train failed: {errors}");
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("no JSON result: {errors}"))
    }

    /// Takes another workspace's run over, as it is.
    pub fn copy_run(&self, other: &Self) {
        std::fs::create_dir(self.dir.join("runs")).expect("a folder");
        let copied = Command::new("cp")
            .arg("-r")
            .arg(other.run_dir())
            .arg(self.run_dir())
            .status();
        assert!(copied.expect("cp").success());
    }

    /// The run has the undisturbed one's samples at every step, its losses for the first 20 steps,
    /// and a whole ledger.
    pub fn assert_same_as(&self, undisturbed: &Self) {
        assert_eq!(
            self.metric("sample_hash"),
            undisturbed.metric("sample_hash")
        );
        let losses = |workspace: &Self| -> Vec<f64> {
            let losses = workspace.metric("train/loss").into_iter().take(20);
            losses
                .map(|(_, loss)| loss.as_f64().expect("a loss"))
                .collect()
        };
        for (loss, calm) in losses(self).into_iter().zip(losses(undisturbed)) {
            assert!((loss - calm).abs() < 1e-4, "{loss} and {calm}");
        }
        let (report, whole) = self.audit("runs/toy");
        assert!(whole, "{report}");
    }

    /// The ledger of the run at `url`, as `data audit` prints it, and whether it is whole.
    pub fn audit(&self, url: &str) -> (Value, bool) {
        let output = self.output(&["data", "audit", url, "--json"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        let report = serde_json::from_slice(&output.stdout);
        (
            report.unwrap_or_else(|_| panic!("no JSON: {errors}")),
            output.status.success(),
        )
    }

    /// Starts training in the background.
    pub fn start(&self, arguments: &[&str]) -> Child {
        let all: Vec<&str> = ["train", "run.yaml"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        let mut command = self.command(&all);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        child.expect("the binary starts")
    }

    /// The steps in `metrics.jsonl` with one field of each.
    pub fn metric(&self, name: &str) -> Vec<(u64, Value)> {
        let text =
            std::fs::read_to_string(self.run_dir().join("metrics.jsonl")).expect("metrics.jsonl");
        metric(&text, name)
    }

    /// Seconds of the longest step.
    pub fn longest_step(&self) -> f64 {
        let times = self.metric("train/batch_time");
        let seconds = times
            .iter()
            .map(|(_, time)| time.as_f64().expect("seconds"));
        seconds.fold(0.0, f64::max)
    }

    /// How many facts of a kind the run's log holds.
    pub fn records(&self, fact: &str) -> usize {
        let records = std::fs::read_dir(self.run_dir().join("log"));
        let records = records.into_iter().flatten().flatten();
        let is_it = |record: &std::fs::DirEntry| {
            std::fs::read_to_string(record.path()).is_ok_and(|text| text.contains(fact))
        };
        records.filter(is_it).count()
    }

    /// Waits until the run's log holds so many facts of a kind.
    pub fn wait_for_records(&self, fact: &str, count: usize) {
        let start = Instant::now();
        while self.records(fact) < count {
            assert!(start.elapsed() < BOUND, "no {count} of {fact} in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until there is a checkpoint of a later step than `before`: the processes that write it
    /// are in the middle of their work.
    pub fn wait_for_checkpoint_after(&self, before: Option<u64>) {
        let start = Instant::now();
        while self.newest_checkpoint() <= before {
            assert!(
                start.elapsed() < BOUND,
                "no checkpoint after step {before:?} in time"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The directory of the checkpoint of a step.
    pub fn checkpoint_at(&self, step: u64) -> PathBuf {
        let entries = std::fs::read_dir(self.run_dir().join("checkpoints")).expect("checkpoints");
        let mut paths = entries.flatten().map(|entry| entry.path());
        let found = paths.find(|path| checkpoint_step(path) == Some(step));
        found.unwrap_or_else(|| panic!("no checkpoint of step {step}"))
    }

    /// The step of the newest checkpoint that has a manifest.
    pub fn newest_checkpoint(&self) -> Option<u64> {
        let entries = std::fs::read_dir(self.run_dir().join("checkpoints")).ok()?;
        let whole = entries
            .flatten()
            .filter(|entry| entry.path().join("manifest.json").exists());
        whole
            .filter_map(|entry| checkpoint_step(&entry.path()))
            .max()
    }
}

/// The lines in the text of a `metrics.jsonl` that have a field: the step, and that field.
pub fn metric(text: &str, name: &str) -> Vec<(u64, Value)> {
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter(|line| line.get(name).is_some())
        .map(|line| (line["step"].as_u64().expect("a step"), line[name].clone()))
        .collect()
}

/// The step in the name of a checkpoint's directory.
pub fn checkpoint_step(directory: &Path) -> Option<u64> {
    let name = directory.file_name()?.to_str()?;
    name.strip_prefix("step-")?.split('-').next()?.parse().ok()
}

/// A ViT that trains in milliseconds on real pictures.
pub fn toy_run(steps: u64) -> String {
    format!(
        "
run: toy
seed: 7
model:
  embed_dim: 16
  vision_cfg: {{image_size: 32, layers: 1, width: 32, head_width: 16, patch_size: 16}}
  text_cfg: {{context_length: 77, vocab_size: 49408, width: 16, heads: 2, layers: 1}}
data: {{train: '{EMOJI}/train/{{00000..00008}}.tar', lanes: 4, shuffle_window: 64}}
train: {{global_batch: 16, steps: {steps}}}
optimizer: {{lr: 1e-3, warmup: 2}}
checkpoint: {{every_steps: 10, keep_last: 2}}
cluster: {{workers: 2, heartbeat_timeout: 2s, step_timeout: 20s, join_timeout: 30s}}
"
    )
}

/// The emoji shards in a folder of their own.
pub fn copy_shards(folder: &Path) {
    std::fs::create_dir(folder).expect("a folder");
    for entry in std::fs::read_dir(format!("{EMOJI}/train")).expect("the emoji shards") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("copied");
    }
}

/// Waits for a child's end and collects what it printed.
pub fn bounded_output(mut child: Child) -> Output {
    let read = |stream: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = read(
        child
            .stdout
            .take()
            .map(|s| Box::new(s) as Box<dyn std::io::Read + Send>),
    );
    let stderr = read(
        child
            .stderr
            .take()
            .map(|s| Box::new(s) as Box<dyn std::io::Read + Send>),
    );
    let status = bounded_wait(&mut child);
    Output {
        status,
        stdout: stdout.join().expect("standard output"),
        stderr: stderr.join().expect("standard error"),
    }
}

/// Waits for a child's end; a child that outlives the bound is killed and fails the test.
pub fn bounded_wait(child: &mut Child) -> ExitStatus {
    wait_with_timeout(child, BOUND).unwrap_or_else(|error| {
        let _ = child.kill();
        panic!("the process did not end in time: {error}")
    })
}

/// A process below `front` that runs a subcommand.
pub fn process_of(front: u32, subcommand: &str) -> u32 {
    let found = processes_of(front, subcommand);
    *found
        .first()
        .unwrap_or_else(|| panic!("no {subcommand} runs"))
}

/// The processes below `front` that run a subcommand.
pub fn processes_of(front: u32, subcommand: &str) -> Vec<u32> {
    let runs = |pid: &u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command.split(|byte| *byte == 0);
        words.any(|word| word == subcommand.as_bytes())
    };
    descendants(front).into_iter().filter(runs).collect()
}

/// A coordinator that listens, and its URL.
pub fn coordinator(workspace: &Workspace) -> (Child, String) {
    let mut command = workspace.command(&["coordinator", "run.yaml"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("the binary starts");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"));
    let url = told["url"].as_str().expect("a URL").to_owned();
    (child, url)
}

/// Prints a figure past the test runner, which keeps what passing tests print.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Sends a signal to a process.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), signal).expect("the process lives");
}
