//! How a run's processes are started, and started again.

use super::GRACE;
use super::children::{COORDINATOR, Child, Children, Line, Report};
use crate::args::TrainArgs;
use crate::exit::{Failure, bad_input, failed};
use crate::say;
use anyhow::{Context, anyhow};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use twinspan_types::WorldSize;

/// Longest wait for the coordinator to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Crashes of processes without a step in between before the run is given up.
const MOST_CRASHES: u32 = 8;

/// How workers are started, and how often they may crash.
pub struct Crew {
    /// `http://host:port` of the coordinator.
    pub url: String,
    threads: usize,
    /// Crashes since the run's step last rose.
    crashes: u32,
    /// The highest step that was seen.
    pub step: u64,
}

impl Crew {
    /// Workers that find their coordinator at `url`, each with so many threads, or with its share
    /// of this machine's cores.
    pub fn new(url: String, threads: Option<usize>, workers: WorldSize) -> Self {
        Self {
            url,
            threads: threads.unwrap_or_else(|| threads_per_worker(workers)),
            crashes: 0,
            step: 0,
        }
    }

    /// Starts a worker.
    pub fn start(&self, children: &mut Children, name: &str) -> Result<(), Failure> {
        let threads = self.threads.to_string();
        let arguments = ["worker", "--coordinator", &self.url, "--parent-pipe"];
        let arguments = arguments.into_iter().chain(["--threads", &threads]);
        let arguments: Vec<String> = arguments.map(str::to_owned).collect();
        let worker = children.spawn(name, &arguments, Some(self.threads));
        children.keep(worker.map_err(failed)?);
        Ok(())
    }

    /// The run has come to this step.
    pub fn stepped(&mut self, step: u64) {
        if step > self.step {
            (self.step, self.crashes) = (step, 0);
        }
    }

    /// Starts another coordinator at the same address, where the workers look for it. Gives what it
    /// says first: that it listens, or how a run ended that was over already.
    pub async fn replace_coordinator(
        &self,
        children: &Children,
        args: &TrainArgs,
    ) -> Result<(Child, Report), Failure> {
        let address = self.url.trim_start_matches("http://");
        let arguments = coordinator_arguments(args, Some(address));
        let coordinator = children.spawn(COORDINATOR, &arguments, None);
        let mut coordinator = coordinator.map_err(failed)?;
        let report = first_report(&mut coordinator).await?;
        Ok((coordinator, report))
    }

    /// Counts the crash of a process.
    ///
    /// # Errors
    /// There were too many without a step in between.
    pub fn count_crash(&mut self) -> Result<(), Failure> {
        self.crashes += 1;
        match self.crashes > MOST_CRASHES {
            true => Err(failed(anyhow!(
                "processes crashed {MOST_CRASHES} times without a step in between; look at their \
                 log lines above, and start the same command again to go on from the newest \
                 checkpoint"
            ))),
            false => Ok(()),
        }
    }
}

/// What the coordinator says first; its log lines go to standard error, and an exit before it says
/// anything carries its exit code.
pub async fn first_report(coordinator: &mut Child) -> Result<Report, Failure> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut log = Vec::new();
    loop {
        let line = timeout_at(deadline, coordinator.next_line())
            .await
            .context("the coordinator did not start within a minute")
            .map_err(failed)?;
        match line {
            Some(Line::Report(report)) => {
                log.iter().for_each(say::log);
                return Ok(report);
            }
            Some(Line::Log(text)) => log.push(text),
            None => {
                let text = log.join("\n");
                let text = text.trim_start_matches("error: ").to_owned();
                return Err(match coordinator.wait(GRACE).await.code() {
                    Some(2) => bad_input(anyhow!(text)),
                    _ => failed(anyhow!("the coordinator did not start: {text}")),
                });
            }
        }
    }
}

/// The command line of a coordinator, at an address or at the run file's.
pub fn coordinator_arguments(args: &TrainArgs, address: Option<&str>) -> Vec<String> {
    let config = args.config.display().to_string();
    let mut arguments = vec!["coordinator".to_owned(), config, "--parent-pipe".to_owned()];
    if let Some(workers) = args.workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    if args.no_eval {
        arguments.push("--no-eval".to_owned());
    }
    if let Some(address) = address {
        arguments.extend(["--listen".to_owned(), address.to_owned()]);
    }
    arguments
}

/// One process with one thread outruns one process with two by half, so cores are divided among
/// the workers and a worker of more threads is for machines with more cores than lanes.
fn threads_per_worker(workers: WorldSize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / workers.index().max(1)).max(1)
}
