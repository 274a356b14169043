//! `twinspan train`: one coordinator and N workers as processes of this binary, watched until the
//! run is over, then evaluated.

mod children;
mod progress;
mod summary;

use crate::args::TrainArgs;
use crate::exit::{Failure, bad_input, failed};
use crate::{say, status, validate};
use anyhow::{Context, anyhow};
pub use children::Report;
use children::{Child, Children, Line};
use progress::Progress;
use std::time::Duration;
use summary::Summary;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, interval, timeout, timeout_at};
use twinspan_proto::v1;
use twinspan_types::{RunConfig, WorldSize};

/// Longest wait for the coordinator to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that the other processes get to end by themselves once the coordinator has.
const GRACE: Duration = Duration::from_secs(10);
/// Crashes of processes without a step in between before the run is given up.
const MOST_CRASHES: u32 = 8;
/// Pause between two looks at the run.
const LOOK: Duration = Duration::from_millis(200);

/// Trains a run to its end, or to the first Ctrl-C.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let config = validate::with_workers(validate::load(&args.config)?, args.workers)?;
    let checked = validate::check(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let started = std::time::Instant::now();
    let end = runtime.block_on(supervise(args, &checked.config))?;
    let Report::Ended { checkpoint, .. } = &end.report else {
        let text = end.report.describe(&checked.config.url());
        return match end.report {
            Report::Failed { .. } => Err(failed(anyhow!(text))),
            _ => {
                say::log(text);
                Ok(())
            }
        };
    };
    let url = checked.config.url();
    let trained = runtime
        .block_on(twinspan_coordinator::trained(&url))
        .map_err(failed)?;
    let mut summary = Summary::new(&checked.config, &trained, started.elapsed(), checkpoint);
    let evaluated = match args.no_eval {
        true => Ok(()),
        false => summary.evaluate(&checked.config),
    };
    summary.print(args.json)?;
    evaluated
}

/// How the run's processes ended.
struct End {
    report: Report,
}

async fn supervise(args: &TrainArgs, config: &RunConfig) -> Result<End, Failure> {
    let mut signals = Signals::new()?;
    let mut children = Children::default();
    let workers = config.cluster.workers;
    let mut coordinator = children
        .spawn("coordinator", &coordinator_arguments(args, None), None)
        .map_err(failed)?;
    let url = match first_report(&mut coordinator).await? {
        Report::Listening { url } => url,
        report => {
            return Ok(End { report });
        }
    };
    let mut crew = Crew {
        url: url.clone(),
        threads: args.threads.unwrap_or_else(|| threads_per_worker(workers)),
        crashes: 0,
        step: 0,
    };
    for worker in 0..workers.0 {
        crew.start(&mut children, format!("worker {worker}"))?;
    }
    let mut progress = Progress::new(config, args.json);
    progress.print(&format!("{}: coordinator at {url}", config.run));
    let outcome = watch(
        args,
        &mut coordinator,
        &mut children,
        &mut crew,
        &mut signals,
        &mut progress,
    )
    .await;
    progress.finish();
    let report = outcome?;
    children.wait(GRACE).await;
    Ok(End { report })
}

/// Shows the run until its coordinator has ended.
async fn watch(
    args: &TrainArgs,
    coordinator: &mut Child,
    children: &mut Children,
    crew: &mut Crew,
    signals: &mut Signals,
    progress: &mut Progress,
) -> Result<Report, Failure> {
    let mut client = status::connect(&crew.url).map_err(failed)?;
    let mut looks = interval(LOOK);
    let mut report = None;
    let mut stopping = false;
    loop {
        tokio::select! {
            _ = looks.tick() => {
                if let Ok(Ok(look)) = timeout(LOOK * 5, status::look(&mut client)).await {
                    crew.stepped(look.step);
                    progress.show(look);
                }
                for (worker, status) in children.take_crashed() {
                    if stopping {
                        continue;
                    }
                    progress.print(&format!("{worker} ended ({status}); it is started again"));
                    crew.replace(children, worker)?;
                }
            }
            line = coordinator.next_line() => match line {
                Some(Line::Report(told)) => report = Some(told),
                Some(Line::Log(text)) => progress.print(&text),
                None if report.is_none() && !stopping => {
                    let status = coordinator.wait(GRACE).await;
                    if !children::has_crashed(status) {
                        return Err(ended_without_result(status));
                    }
                    progress.print(&format!("the coordinator ended ({status}); it is started again"));
                    *coordinator = crew.replace_coordinator(children, args).await?;
                }
                None => break,
            },
            text = children.next_log() => progress.print(&text),
            signal = signals.next() => {
                if stopping {
                    match signal {
                        Asked::ToInterrupt => return Err(Failure::Interrupted),
                        Asked::ToTerminate => continue,
                    }
                }
                stopping = true;
                progress.print("stopping: this step is finished and a checkpoint written; once more to stop at once");
                let stop = timeout(LOOK * 25, client.stop(v1::StopRequest {})).await;
                if !matches!(stop, Ok(Ok(_))) {
                    progress.print("the coordinator did not take the request; once more to stop at once");
                }
            }
        }
    }
    while let Some(text) = children.try_next_log() {
        progress.print(&text);
    }
    let status = coordinator.wait(GRACE).await;
    report.ok_or_else(|| ended_without_result(status))
}

fn ended_without_result(status: std::process::ExitStatus) -> Failure {
    failed(anyhow!(
        "the coordinator ended without a result ({status}); start the same command again to go on \
         from the newest checkpoint"
    ))
}

/// How workers are started, and how often they may crash.
struct Crew {
    url: String,
    threads: usize,
    /// Crashes since the run's step last rose.
    crashes: u32,
    step: u64,
}

impl Crew {
    fn start(&self, children: &mut Children, name: String) -> Result<(), Failure> {
        let threads = self.threads.to_string();
        let arguments = ["worker", "--coordinator", &self.url, "--parent-pipe"];
        let arguments = arguments.into_iter().chain(["--threads", &threads]);
        let arguments: Vec<String> = arguments.map(str::to_owned).collect();
        let worker = children.spawn(&name, &arguments, Some(self.threads));
        children.keep(name, worker.map_err(failed)?);
        Ok(())
    }

    fn stepped(&mut self, step: u64) {
        if step > self.step {
            (self.step, self.crashes) = (step, 0);
        }
    }

    /// Starts a worker again that has crashed.
    fn replace(&mut self, children: &mut Children, name: String) -> Result<(), Failure> {
        self.count_crash()?;
        self.start(children, name)
    }

    /// Starts another coordinator at the same address, where the workers look for it.
    async fn replace_coordinator(
        &mut self,
        children: &Children,
        args: &TrainArgs,
    ) -> Result<Child, Failure> {
        self.count_crash()?;
        let address = self.url.trim_start_matches("http://");
        let arguments = coordinator_arguments(args, Some(address));
        let coordinator = children.spawn("coordinator", &arguments, None);
        let mut coordinator = coordinator.map_err(failed)?;
        first_report(&mut coordinator).await?;
        Ok(coordinator)
    }

    fn count_crash(&mut self) -> Result<(), Failure> {
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
async fn first_report(coordinator: &mut Child) -> Result<Report, Failure> {
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

fn coordinator_arguments(args: &TrainArgs, address: Option<&str>) -> Vec<String> {
    let config = args.config.display().to_string();
    let mut arguments = vec!["coordinator".to_owned(), config, "--parent-pipe".to_owned()];
    if let Some(workers) = args.workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
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

/// What a signal asks for. Only a second Ctrl-C stops at once: whoever terminates a process may
/// reach it twice, by itself and with its group.
enum Asked {
    ToInterrupt,
    ToTerminate,
}

/// Ctrl-C, SIGTERM, and SIGHUP, which a closed terminal sends.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            hang_up: signal(SignalKind::hangup()).map_err(failed)?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::ToInterrupt,
            _ = self.terminate.recv() => Asked::ToTerminate,
            _ = self.hang_up.recv() => Asked::ToTerminate,
        }
    }
}
