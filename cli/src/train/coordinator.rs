//! How a run's coordinator is started, and started again.

use crate::args::TrainArgs;
use crate::exit::{Failure, bad_input, failed};
use crate::processes::{COORDINATOR, Child, Children, GRACE, Line, Report, Start};
use crate::say;
use anyhow::{Context, anyhow};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use twinspan_types::RunConfig;
use twinspan_types::config::PageAddress;

/// Longest wait for the coordinator to listen.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a run's coordinator listens: workers, and whoever has the page open, look for the next one
/// there.
#[derive(Debug, Clone)]
pub struct Addresses {
    listen: String,
    http: Option<String>,
}

impl Addresses {
    /// Those of the run file, or the command line, with the ports that were found free.
    pub fn new(args: &TrainArgs, config: &RunConfig, url: &str, page: Option<&str>) -> Self {
        let http = match args.http.as_ref().unwrap_or(&config.telemetry.http) {
            PageAddress::At(http) => page.map(|page| with_port(http, page)),
            PageAddress::Off => None,
        };
        Self {
            listen: with_port(&config.cluster.listen, url),
            http,
        }
    }
}

/// The host of an address with the port of a URL: what is listened to is not what others call it.
fn with_port(address: &str, url: &str) -> String {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let port = url.rsplit_once(':').map_or("0", |(_, port)| port);
    format!("{host}:{port}")
}

/// Starts another coordinator at the addresses of the last one. Gives
/// what it says first: that it listens, or how a run ended that was over already.
pub async fn replace(
    children: &Children,
    args: &TrainArgs,
    addresses: &Addresses,
) -> Result<(Child, Report), Failure> {
    let mut coordinator = children
        .spawn(&start(args, Some(addresses)))
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

/// How a coordinator is started: at the run file's addresses, or at these.
pub fn start(args: &TrainArgs, at: Option<&Addresses>) -> Start {
    let config = args.config.display().to_string();
    let mut arguments = vec!["coordinator".to_owned(), config, "--parent-pipe".to_owned()];
    if let Some(workers) = args.workers {
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
    }
    if args.no_eval {
        arguments.push("--no-eval".to_owned());
    }
    let mut http = args.http.as_ref().map(ToString::to_string);
    if let Some(Addresses {
        listen,
        http: found,
    }) = at
    {
        arguments.extend(["--listen".to_owned(), listen.clone()]);
        http = found.clone().or(http);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_coordinator_listens_where_the_first_was_told_to_at_the_port_that_it_found() {
        for (address, url, expected) in [
            ("127.0.0.1:0", "http://127.0.0.1:41234", "127.0.0.1:41234"),
            ("0.0.0.0:0", "http://node-7:41234", "0.0.0.0:41234"),
            ("[::]:7700", "http://node-7:7700", "[::]:7700"),
        ] {
            assert_eq!(with_port(address, url), expected);
        }
    }
}
