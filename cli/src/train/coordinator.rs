//! How a run's coordinator is started, and started again.

use crate::args::TrainArgs;
use crate::exit::{Failure, bad_input, failed};
use crate::processes::{COORDINATOR, Child, Children, GRACE, Line, Report, Start};
use crate::say;
use anyhow::{Context, anyhow};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest wait for the coordinator to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts another coordinator at the addresses of the last one, where the workers look for it, and
/// whoever has the page open. Gives
/// what it says first: that it listens, or how a run ended that was over already.
pub async fn replace(
    children: &Children,
    args: &TrainArgs,
    url: &str,
    page: Option<&str>,
) -> Result<(Child, Report), Failure> {
    let address = url.trim_start_matches("http://");
    let page = page.map(|page| page.trim_start_matches("http://"));
    let mut coordinator = children
        .spawn(&start(args, Some((address, page))))
        .map_err(failed)?;
    let report = first_report(&mut coordinator).await?;
    Ok((coordinator, report))
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

/// How a coordinator is started: at the run file's addresses, or at this one, with its page there.
pub fn start(args: &TrainArgs, at: Option<(&str, Option<&str>)>) -> Start {
    let config = args.config.display().to_string();
    let mut arguments = vec!["coordinator".to_owned(), config, "--parent-pipe".to_owned()];
    if let Some(workers) = args.workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    if args.no_eval {
        arguments.push("--no-eval".to_owned());
    }
    let mut http = args.http.as_ref().map(ToString::to_string);
    if let Some((address, page)) = at {
        arguments.extend(["--listen".to_owned(), address.to_owned()]);
        http = page.map(str::to_owned).or(http);
    }
    if let Some(http) = http {
        arguments.extend(["--http".to_owned(), http]);
    }
    Start {
        name: COORDINATOR.to_owned(),
        arguments,
        environment: Vec::new(),
    }
}
