//! `twinspan worker --workers N`: N workers of this machine as processes of this binary, each with a
//! device of its own. A worker that crashes is started again, and none ends for another's sake.

mod end;

use crate::args::WorkerArgs;
use crate::exit::{Failure, failed, failure};
use crate::processes::{Asked, Children, Crew, GRACE, News, Process, Signals, has_crashed};
use crate::{say, status};
use end::{Worst, was_told_to_go};
use rustix::process::Signal;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use twinspan_types::config::DeviceChoice;
use twinspan_worker::WorkerError;

/// Longest wait for the coordinator's answer to a look.
const ANSWER: Duration = Duration::from_secs(1);

/// Runs so many workers until the last of them has ended.
pub fn run(args: &WorkerArgs, workers: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    runtime.block_on(supervise(args, workers))
}

async fn supervise(args: &WorkerArgs, workers: usize) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let url = status::with_scheme(&args.coordinator);
    let devices = tokio::select! {
        devices = devices(args, &url, workers) => devices?,
        // No worker has joined: there is nobody to tell.
        _ = signals.next() => return Err(Failure::Drained),
    };
    let crew = Crew::new(url, args.threads, &devices, &further(args));
    let mut children = Children::default();
    crew.start(&mut children)?;
    let supervisor = Supervisor {
        grace: args.grace,
        crew,
        children,
        stage: Stage::Working,
        worst: Worst::default(),
    };
    supervisor.run(&mut signals).await
}

/// Each worker's device, by the command line or by the run's file.
async fn devices(
    args: &WorkerArgs,
    url: &str,
    workers: usize,
) -> Result<Vec<DeviceChoice>, Failure> {
    let bad = |error: WorkerError| failure(error.is_bad_input(), error);
    let run = twinspan_worker::run_at(url, args.patience).await;
    let run = run.map_err(|error| bad(error.into()))?;
    let choice = args.device.unwrap_or(run.worker.device);
    let (precision, collective) = (run.train.precision, run.cluster.collective);
    twinspan_worker::deal_devices(choice, workers, precision, collective).map_err(bad)
}

/// What all of them are told as this process was.
fn further(args: &WorkerArgs) -> Vec<String> {
    let seconds = |time: Duration| time.as_secs_f64().to_string();
    let arguments = [
        ["--host", &args.host],
        ["--grace", &seconds(args.grace)],
        ["--patience", &seconds(args.patience)],
    ];
    arguments
        .as_flattened()
        .iter()
        .map(ToString::to_string)
        .collect()
}

struct Supervisor {
    /// Time that workers have to leave in order.
    grace: Duration,
    crew: Crew,
    children: Children,
    stage: Stage,
    worst: Worst,
}

/// How far they are.
#[derive(Clone, Copy)]
enum Stage {
    /// In the run.
    Working,
    /// Told to go; those that have not gone at this time are killed.
    Leaving(Instant),
    /// Killed; whoever has not ended at this time is left to the system.
    Killed(Instant),
}

impl Supervisor {
    async fn run(mut self, signals: &mut Signals) -> Result<(), Failure> {
        while !self.children.processes().is_empty() {
            tokio::select! {
                news = self.children.next() => match news {
                    News::Log(line) => say::log(line),
                    News::Ended(worker, status) => self.ended(&worker, status).await,
                },
                asked = signals.next() => self.pass_on(&asked),
                () = self.stage.over() => if !self.kill() {
                    break;
                },
            }
        }
        for line in self.children.last_logs(GRACE).await {
            say::log(line);
        }
        self.worst.into_result()
    }

    async fn ended(&mut self, worker: &Process, status: ExitStatus) {
        match self.stage {
            Stage::Leaving(_) | Stage::Killed(_) if was_told_to_go(status) => self.worst.drained(),
            Stage::Working if has_crashed(status) => match self.start_again(worker, status).await {
                Ok(()) => {}
                Err(given_up) => {
                    say::log(format!("{} is not started again: {given_up}", worker.name));
                    self.worst.ended(worker, status);
                }
            },
            _ => self.worst.ended(worker, status),
        }
    }

    /// Starts a worker again that has crashed, unless there were too many crashes without a step in
    /// between.
    async fn start_again(&mut self, worker: &Process, status: ExitStatus) -> Result<(), Failure> {
        let name = &worker.name;
        if let Ok(mut client) = status::connect(&self.crew.url)
            && let Ok(Ok(look)) = timeout(ANSWER, status::look(&mut client)).await
        {
            self.crew.stepped(look.step);
        }
        self.crew.count_crash()?;
        say::log(format!("{name} ended ({status}); it is started again"));
        self.crew.start_again(&mut self.children, name)
    }

    /// The workers get every signal that this process gets, and know what to do with it.
    fn pass_on(&mut self, asked: &Asked) {
        let signal = match asked {
            Asked::ToInterrupt => Signal::INT,
            Asked::ToTerminate => Signal::TERM,
        };
        for worker in self.children.processes() {
            worker.signal(signal);
        }
        if let Stage::Working = self.stage {
            self.stage = Stage::Leaving(Instant::now() + self.grace + GRACE);
        }
    }

    /// Workers that have not gone in all the time that they had do not hear signals any more. Gives
    /// whether their ends are still to be waited for.
    fn kill(&mut self) -> bool {
        let waits = !matches!(self.stage, Stage::Killed(_));
        for worker in self.children.processes() {
            if waits {
                say::log(format!("{worker} did not leave in time; it is killed"));
                worker.signal(Signal::KILL);
            } else {
                self.worst.outlived(&worker);
            }
        }
        self.stage = Stage::Killed(Instant::now() + GRACE);
        waits
    }
}

impl Stage {
    /// Waits until its time is over; for ever where it has no end.
    async fn over(self) {
        match self {
            Self::Working => std::future::pending().await,
            Self::Leaving(until) | Self::Killed(until) => sleep_until(until).await,
        }
    }
}
