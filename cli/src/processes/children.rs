//! Processes of this program that this one has started. Each reads a pipe that this process holds, in a process group of its own:
//! Ctrl-C reaches this process alone, and a child ends when this process does, whatever kills it.

use super::Report;
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;
use twinspan_telemetry::LOG_FORMAT;

/// Log lines of children that wait to be printed.
const LINES: usize = 256;
/// What the coordinator's process is called.
pub const COORDINATOR: &str = "the coordinator";
/// Exit code of a process that has panicked.
const PANICKED: i32 = 101;

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Start {
    /// What it is called here.
    pub name: String,
    /// Its command line, behind the program.
    pub arguments: Vec<String>,
    /// Its variables beside this process's.
    pub environment: Vec<(&'static str, String)>,
}

/// A line that a child printed.
pub enum Line {
    /// On standard output, readable.
    Report(Report),
    /// On standard error, or not readable.
    Log(String),
}

/// Which process: what it is called here, and the system's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Such as `worker 2`.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

impl Process {
    /// Sends a signal, to a child that has not been waited for, so that its number is its own. Gives
    /// whether it was there.
    pub fn signal(&self, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

/// One process; it is killed when this is dropped.
pub struct Child {
    process: Process,
    child: tokio::process::Child,
    lines: mpsc::Receiver<Line>,
    /// Open for as long as the child shall live.
    _pipe: Option<ChildStdin>,
}

impl Child {
    /// Which process it is.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The next line of its output; none when both streams have ended.
    pub async fn next_line(&mut self) -> Option<Line> {
        self.lines.recv().await
    }

    /// Waits for its end, and kills it after `grace`.
    pub async fn wait(&mut self, grace: Duration) -> ExitStatus {
        match timeout(grace, self.child.wait()).await {
            Ok(Ok(status)) => status,
            _ => {
                let _ = self.child.start_kill();
                self.child.wait().await.unwrap_or_default()
            }
        }
    }
}

/// A process's log line with its name: before words, and as a field of a line of JSON, which is for a
/// machine.
fn told_by(name: &str, line: String) -> String {
    if line.starts_with('{')
        && let Ok(mut fields) = serde_json::from_str::<serde_json::Map<_, _>>(&line)
    {
        fields.insert("process".to_owned(), name.into());
        return serde_json::Value::Object(fields).to_string();
    }
    match name {
        COORDINATOR => line,
        name => format!("[{name}] {line}"),
    }
}

/// One worker's process.
struct Worker {
    process: Process,
    child: tokio::process::Child,
    _pipe: Option<ChildStdin>,
}

/// What a worker gave word of.
pub enum News {
    /// A line to print.
    Log(String),
    /// Its end.
    Ended(Process, ExitStatus),
}

/// The workers, and the log lines of all.
pub struct Children {
    workers: Vec<Worker>,
    sender: mpsc::Sender<String>,
    logs: mpsc::Receiver<String>,
    /// Variables of all, beside this process's.
    environment: Vec<(&'static str, String)>,
}

impl Default for Children {
    fn default() -> Self {
        let (sender, logs) = mpsc::channel(LINES);
        Self {
            workers: Vec::new(),
            sender,
            logs,
            environment: Vec::new(),
        }
    }
}

impl Children {
    /// Those whose log lines are for whoever looks at this process, unless a form is asked for.
    pub fn in_words() -> Self {
        let asked = std::env::var_os(LOG_FORMAT).is_some();
        let environment = [(LOG_FORMAT, "text".to_owned())];
        Self {
            environment: environment.into_iter().filter(|_| !asked).collect(),
            ..Self::default()
        }
    }

    /// Starts this program once more.
    pub fn spawn(&self, start: &Start) -> Result<Child> {
        let name = start.name.as_str();
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = Command::new(program);
        command
            .args(&start.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let context = || format!("cannot start {name}");
        let mut child = command.spawn().with_context(context)?;
        let process = Process {
            name: name.to_owned(),
            pid: child.id().with_context(context)?,
        };
        let (sender, lines) = mpsc::channel(LINES);
        let owner = name.to_owned();
        if let Some(output) = child.stdout.take() {
            forward(output, sender.clone(), |line| {
                match serde_json::from_str(&line) {
                    Ok(report) => Line::Report(report),
                    Err(_) => Line::Log(line),
                }
            });
        }
        if let Some(errors) = child.stderr.take() {
            forward(errors, sender, move |line| Line::Log(told_by(&owner, line)));
        }
        let pipe = child.stdin.take();
        Ok(Child {
            process,
            child,
            lines,
            _pipe: pipe,
        })
    }

    /// Starts a worker, and takes it in: its lines join the others'.
    pub fn start(&mut self, start: &Start) -> Result<()> {
        let child = self.spawn(start)?;
        self.keep(child);
        Ok(())
    }

    fn keep(&mut self, child: Child) {
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
            process: child.process,
            child: child.child,
            _pipe: child._pipe,
        });
    }

    /// The workers whose end was not seen yet.
    pub fn processes(&self) -> Vec<Process> {
        let workers = self.workers.iter();
        workers.map(|worker| worker.process.clone()).collect()
    }

    /// The next log line or end of any worker. One that has ended is no longer among them.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            // The sender is held by this struct: the channel never closes while it lives.
            Some(line) = self.logs.recv() => News::Log(line),
            (worker, status) = first_end(&mut self.workers) => News::Ended(worker, status),
        }
    }

    /// A log line that is already there.
    pub fn try_next_log(&mut self) -> Option<String> {
        self.logs.try_recv().ok()
    }

    /// The log lines that are left when every worker has ended, as far as they come within `grace`.
    pub async fn last_logs(mut self, grace: Duration) -> Vec<String> {
        // The workers' own ends of the channel close with what they print to.
        drop(self.sender);
        let mut lines = Vec::new();
        let deadline = tokio::time::Instant::now() + grace;
        while let Ok(Some(line)) = tokio::time::timeout_at(deadline, self.logs.recv()).await {
            lines.push(line);
        }
        lines
    }

    /// Waits for every worker's end, and kills those that take longer than `grace`.
    pub async fn wait(&mut self, grace: Duration) {
        let deadline = tokio::time::Instant::now() + grace;
        for worker in &mut self.workers {
            let child = &mut worker.child;
            if tokio::time::timeout_at(deadline, child.wait())
                .await
                .is_err()
            {
                let _ = child.start_kill();
                let _ = child.wait().await;
            }
        }
    }
}

/// Waits until one of them has ended, and takes it out; for ever where there are none.
async fn first_end(workers: &mut Vec<Worker>) -> (Process, ExitStatus) {
    let (place, status) = std::future::poll_fn(|context| {
        for (place, worker) in workers.iter_mut().enumerate() {
            if let Poll::Ready(status) = pin!(worker.child.wait()).poll(context) {
                return Poll::Ready((place, status.unwrap_or_default()));
            }
        }
        Poll::Pending
    })
    .await;
    (workers.remove(place).process, status)
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
