//! The run's processes. Each reads a pipe that this process holds, in a process group of its own:
//! Ctrl-C reaches this process alone, and a child ends when this process does, whatever kills it.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Log lines of children that wait to be printed.
const LINES: usize = 256;
/// Exit code of a process that has panicked.
const PANICKED: i32 = 101;

/// What the coordinator prints on standard output, one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// It takes workers.
    Listening {
        /// `http://host:port`.
        url: String,
    },
    /// The run reached its last step.
    Ended {
        /// That step.
        step: u64,
        /// The final checkpoint's directory, relative to the run.
        checkpoint: Option<String>,
    },
    /// The run was stopped in order.
    Stopped {
        /// The last committed step.
        step: u64,
        /// The newest checkpoint's directory, relative to the run.
        checkpoint: Option<String>,
    },
    /// The run cannot go on.
    Failed {
        /// Why, and what to do.
        reason: String,
    },
}

impl Report {
    /// The report in words, for the run at `url`.
    pub fn describe(&self, url: &str) -> String {
        match self {
            Self::Listening { url } => format!("listening at {url}"),
            Self::Ended { step, .. } => format!("ended at step {step}"),
            Self::Stopped {
                step,
                checkpoint: Some(checkpoint),
            } => format!(
                "stopped after step {step}; checkpoint {url}/{checkpoint}; the same command goes on from there"
            ),
            Self::Stopped {
                step,
                checkpoint: None,
            } => {
                format!("stopped after step {step}, before the first checkpoint")
            }
            Self::Failed { reason } => reason.clone(),
        }
    }
}

/// A line that a child printed.
pub enum Line {
    /// On standard output, readable.
    Report(Report),
    /// On standard error, or not readable.
    Log(String),
}

/// One process; it is killed when this is dropped.
pub struct Child {
    process: tokio::process::Child,
    lines: mpsc::Receiver<Line>,
    /// Open for as long as the child shall live.
    _pipe: Option<ChildStdin>,
}

impl Child {
    /// The next line of its output; none when both streams have ended.
    pub async fn next_line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// Waits for its end, and kills it after `grace`.
    pub async fn wait(&mut self, grace: Duration) -> ExitStatus {
        match timeout(grace, self.process.wait()).await {
            Ok(Ok(status)) => status,
            _ => {
                let _ = self.process.start_kill();
                self.process.wait().await.unwrap_or_default()
            }
        }
    }
}

/// One worker's process.
struct Worker {
    name: String,
    process: tokio::process::Child,
    _pipe: Option<ChildStdin>,
}

/// The workers, and the log lines of all.
pub struct Children {
    workers: Vec<Worker>,
    sender: mpsc::Sender<String>,
    logs: mpsc::Receiver<String>,
}

impl Default for Children {
    fn default() -> Self {
        let (sender, logs) = mpsc::channel(LINES);
        Self {
            workers: Vec::new(),
            sender,
            logs,
        }
    }
}

impl Children {
    /// Starts this program with other arguments.
    pub fn spawn(&self, name: &str, arguments: &[String], threads: Option<usize>) -> Result<Child> {
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(threads) = threads {
            command.env("RAYON_NUM_THREADS", threads.to_string());
        }
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let (sender, lines) = mpsc::channel(LINES);
        let prefix = match name {
            "coordinator" => String::new(),
            name => format!("[{name}] "),
        };
        if let Some(output) = process.stdout.take() {
            forward(output, sender.clone(), |line| {
                match serde_json::from_str(&line) {
                    Ok(report) => Line::Report(report),
                    Err(_) => Line::Log(line),
                }
            });
        }
        if let Some(errors) = process.stderr.take() {
            forward(errors, sender, move |line| {
                Line::Log(format!("{prefix}{line}"))
            });
        }
        let pipe = process.stdin.take();
        Ok(Child {
            process,
            lines,
            _pipe: pipe,
        })
    }

    /// Takes a worker in: its lines join the others'.
    pub fn keep(&mut self, name: String, child: Child) {
        let sender = self.sender.clone();
        let mut lines = child.lines;
        tokio::spawn(async move {
            while let Some(Line::Log(line)) = lines.recv().await {
                if sender.send(line).await.is_err() {
                    return;
                }
            }
        });
        self.workers.push(Worker {
            name,
            process: child.process,
            _pipe: child._pipe,
        });
    }

    /// Takes out the workers that were killed or have crashed, with what became of each. One that
    /// ends with an error of its own has told the coordinator.
    pub fn take_crashed(&mut self) -> Vec<(String, ExitStatus)> {
        let mut crashed = Vec::new();
        self.workers
            .retain_mut(|worker| match worker.process.try_wait() {
                Ok(Some(status)) if has_crashed(status) => {
                    crashed.push((worker.name.clone(), status));
                    false
                }
                _ => true,
            });
        crashed
    }

    /// The next log line of any worker.
    pub async fn next_log(&mut self) -> String {
        match self.logs.recv().await {
            Some(line) => line,
            // The sender is held by this struct: the channel never closes while it lives.
            None => std::future::pending().await,
        }
    }

    /// A log line that is already there.
    pub fn try_next_log(&mut self) -> Option<String> {
        self.logs.try_recv().ok()
    }

    /// Waits for every worker's end, and kills those that take longer than `grace`.
    pub async fn wait(&mut self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        for worker in &mut self.workers {
            let process = &mut worker.process;
            if tokio::time::timeout_at(deadline, process.wait())
                .await
                .is_err()
            {
                let _ = process.start_kill();
                let _ = process.wait().await;
            }
        }
    }
}

/// Whether a process was killed or has panicked; one that ends with an error of its own means it.
pub fn has_crashed(status: ExitStatus) -> bool {
    status.code().is_none_or(|code| code == PANICKED)
}

/// Sends each line of a stream on.
fn forward<S: AsyncRead + Unpin + Send + 'static>(
    stream: S,
    sender: mpsc::Sender<Line>,
    parse: impl Fn(String) -> Line + Send + 'static,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if sender.send(parse(line)).await.is_err() {
                return;
            }
        }
    });
}
