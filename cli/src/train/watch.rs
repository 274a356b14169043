//! A run is watched until its coordinator has ended: what has crashed is started again, and a signal
//! stops it in order.

use super::chaos::Chaos;
use super::coordinator::{self, Addresses};
use super::progress::Progress;
use super::recovery::Recovery;
use crate::args::TrainArgs;
use crate::exit::{Failure, failed};
use crate::processes::{
    Asked, Child, Children, Crew, GRACE, Line, News, Process, Report, Signals, has_crashed,
};
use crate::status;
use anyhow::anyhow;
use std::process::ExitStatus;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use twinspan_proto::v1::{self, RunState};

/// Longest wait for the coordinator's answer to a look.
const ANSWER: Duration = Duration::from_secs(1);
/// Longest wait for its answer to a request to stop.
const STOP_ANSWER: Duration = Duration::from_secs(5);

/// The run's processes, and all that is known of them.
pub struct Watch<'a> {
    /// What was asked for.
    pub args: &'a TrainArgs,
    /// The coordinator's process.
    pub coordinator: Child,
    /// The workers'.
    pub children: Children,
    /// How they are started again.
    pub crew: Crew,
    /// Where another coordinator listens.
    pub addresses: Addresses,
    /// What the user sees.
    pub progress: Progress,
    /// Who kills and stops them, where that was asked for.
    pub chaos: Option<Chaos>,
    /// How long the run takes to get over an end.
    pub recovery: Recovery,
    /// The coordinator's last word.
    pub report: Option<Report>,
    /// A signal has asked for the end.
    pub stopping: bool,
}

impl Watch<'_> {
    /// Shows the run until its coordinator has ended.
    pub async fn run(&mut self, signals: &mut Signals) -> Result<Report, Failure> {
        let mut client = status::connect(&self.crew.url).map_err(failed)?;
        let mut next_look = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(next_look) => {
                    if let Ok(Ok(look)) = timeout(ANSWER, status::look(&mut client)).await {
                        self.saw(look);
                    }
                    next_look = Instant::now() + self.recovery.pause();
                }
                line = self.coordinator.next_line() => match line {
                    Some(Line::Report(told)) => self.report = Some(told),
                    Some(Line::Log(text)) => self.progress.print(&text),
                    None if self.report.is_none() && !self.stopping => {
                        self.coordinator_ended().await?;
                        next_look = Instant::now();
                    }
                    None => break,
                },
                news = self.children.next() => match news {
                    News::Log(text) => self.progress.print(&text),
                    News::Ended(worker, status) => self.worker_ended(&worker, status)?,
                },
                () = due(&self.chaos) => self.wreak(),
                signal = signals.next() => {
                    if self.stopping {
                        match signal {
                            Asked::ToInterrupt => return Err(Failure::Interrupted),
                            Asked::ToTerminate => continue,
                        }
                    }
                    self.stopping = true;
                    self.end_chaos();
                    self.progress.print("stopping: this step is finished and a checkpoint written; once more to stop at once");
                    let stop = timeout(STOP_ANSWER, client.stop(v1::StopRequest {})).await;
                    if !matches!(stop, Ok(Ok(_))) {
                        self.progress.print("the coordinator did not take the request; once more to stop at once");
                    }
                }
            }
        }
        self.end_chaos();
        while let Some(text) = self.children.try_next_log() {
            self.progress.print(&text);
        }
        let status = self.coordinator.wait(GRACE).await;
        self.report
            .take()
            .ok_or_else(|| ended_without_result(status))
    }

    fn saw(&mut self, look: v1::GetStatusResponse) {
        self.crew.stepped(look.step);
        for line in self.recovery.looked(&look, Instant::now()) {
            self.progress.print(&line);
        }
        match (look.state(), &mut self.chaos) {
            (RunState::Training, Some(chaos)) if look.step > look.start_step => chaos.begin(),
            (RunState::Training | RunState::WaitingForWorkers, _) => {}
            _ => self.end_chaos(),
        }
        self.progress.show(look);
    }

    /// A worker that ends with an error of its own has told the coordinator; one that was killed or
    /// has crashed is started again.
    fn worker_ended(&mut self, worker: &Process, status: ExitStatus) -> Result<(), Failure> {
        if self.stopping || !has_crashed(status) {
            return Ok(());
        }
        self.crashed(worker, status)?;
        self.crew.start_again(&mut self.children, &worker.name)
    }

    async fn coordinator_ended(&mut self) -> Result<(), Failure> {
        let status = self.coordinator.wait(GRACE).await;
        if !has_crashed(status) {
            return Err(ended_without_result(status));
        }
        self.crashed(&self.coordinator.process().clone(), status)?;
        let (coordinator, report) =
            coordinator::replace(&self.children, self.args, &self.addresses).await?;
        self.coordinator = coordinator;
        if !matches!(report, Report::Listening { .. }) {
            self.report = Some(report);
        }
        Ok(())
    }

    /// A process has ended that should not have; what chaos kills has not crashed.
    fn crashed(&mut self, process: &Process, status: ExitStatus) -> Result<(), Failure> {
        let name = &process.name;
        self.recovery.ended(name, Instant::now());
        let line = format!("{name} ended ({status}); it is started again");
        self.progress.print(&line);
        let chaos = self.chaos.as_mut();
        match chaos.is_some_and(|chaos| chaos.has_killed(process)) {
            true => Ok(()),
            false => self.crew.count_crash(),
        }
    }

    /// Chaos has its turn.
    fn wreak(&mut self) {
        let workers = self.children.processes();
        let coordinator = self.coordinator.process().clone();
        let chaos = self.chaos.as_mut();
        let said = chaos.and_then(|chaos| chaos.act(coordinator, &workers));
        self.tell_chaos(said);
    }

    fn end_chaos(&mut self) {
        let said = self.chaos.as_mut().and_then(Chaos::end);
        self.tell_chaos(said);
    }

    fn tell_chaos(&self, said: Option<String>) {
        if let Some(said) = said {
            let step = self.crew.step;
            self.progress
                .print(&format!("chaos: {said} at step {step}"));
        }
    }
}

/// Waits until chaos has its turn; for ever where there is none.
async fn due(chaos: &Option<Chaos>) {
    match chaos {
        Some(chaos) => chaos.due().await,
        None => std::future::pending().await,
    }
}

fn ended_without_result(status: std::process::ExitStatus) -> Failure {
    failed(anyhow!(
        "the coordinator ended without a result ({status}); start the same command again to go on \
         from the newest checkpoint"
    ))
}
