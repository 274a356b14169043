//! `twinspan coordinator`: one coordinator.

use crate::args::CoordinatorArgs;
use crate::exit::{Failure, bad_input, failed};
use crate::processes::Report;
use crate::validate::{self, Checked};
use crate::{parent, say, worker};
use anyhow::{Context, anyhow};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use twinspan_coordinator::{CoordinatorError, CoordinatorHandle, Outcome, Place, Started};
use twinspan_types::config::PageAddress;

/// Runs a coordinator until its run is over.
pub fn run(args: &CoordinatorArgs) -> Result<(), Failure> {
    if args.parent_pipe {
        parent::end_with_parent();
    }
    let config = validate::with_workers(validate::load(&args.config)?, args.workers)?;
    let mut config = validate::with_eval(config, args.no_eval);
    if let Some(listen) = &args.listen {
        config.cluster.listen.clone_from(listen);
    }
    if let Some(http) = &args.http {
        config.telemetry.http.clone_from(http);
    }
    let checked = validate::check(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(failed)?;
    let outcome = runtime.block_on(serve(checked, args))?;
    let report = report(outcome);
    say(&report);
    match report {
        Report::Failed { reason } => Err(failed(anyhow!(reason))),
        _ => Ok(()),
    }
}

async fn serve(
    Checked { config, index }: Checked,
    args: &CoordinatorArgs,
) -> Result<Outcome, Failure> {
    let listen = config.cluster.listen.clone();
    let listener = TcpListener::bind(&listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {listen}; choose another cluster.listen, or port 0 for a free one"
            )
        })
        .map_err(bad_input)?;
    let address = reachable(
        listener.local_addr().map_err(failed)?,
        args.advertise.clone(),
    );
    let advertised = Some(address.clone());
    let place = Place::of(&config, listener, advertised).map_err(bad_input)?;
    let (page, page_url) = page(&config.telemetry.http).await?.unzip();
    let place = Place { page, ..place };
    let started = twinspan_coordinator::start(config, index, place, worker::random_bytes()).await;
    // Nothing could be written: the output or who owns it is at fault.
    let coordinator = match started.map_err(bad_input)? {
        Started::Over(outcome) => return Ok(outcome),
        Started::Running(coordinator) => coordinator,
    };
    // Who started it tells of it.
    if let Some(page) = page_url.as_ref().filter(|_| !args.parent_pipe) {
        tracing::info!("status page at {page}");
    }
    say(&Report::Listening {
        url: format!("http://{address}"),
        page: page_url,
    });
    let handle = coordinator.handle();
    let stopping = tokio::spawn(stop_on_signal(handle));
    let outcome = coordinator.wait().await.map_err(failure);
    stopping.abort();
    outcome
}

/// A listener for the status page, and its URL; none where no page is wanted.
async fn page(address: &PageAddress) -> Result<Option<(TcpListener, String)>, Failure> {
    let PageAddress::At(address) = address else {
        return Ok(None);
    };
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| {
            format!(
                "cannot serve the status page on {address}; choose another telemetry.http (or \
                 --http), port 0 for a free one, or off"
            )
        })
        .map_err(bad_input)?;
    let own = reachable(listener.local_addr().map_err(failed)?, None);
    Ok(Some((listener, format!("http://{own}"))))
}

/// `host:port` under which others reach this coordinator: one that listens on all addresses of its
/// machine is called by the machine's name.
fn reachable(listener: SocketAddr, advertise: Option<String>) -> String {
    let (host, port) = (listener.ip(), listener.port());
    match advertise {
        Some(address) if address.contains(':') => address,
        Some(host) => format!("{host}:{port}"),
        None if host.is_unspecified() => format!("{}:{port}", worker::machine_name()),
        None => listener.to_string(),
    }
}

/// Ctrl-C and SIGTERM stop the run in order.
async fn stop_on_signal(handle: CoordinatorHandle) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    handle.stop().await;
}

fn failure(error: CoordinatorError) -> Failure {
    match error.is_bad_input() {
        true => bad_input(error),
        false => failed(error),
    }
}

fn report(outcome: Outcome) -> Report {
    match outcome {
        Outcome::Ended { step, checkpoint } => Report::Ended {
            step: step.0,
            checkpoint: checkpoint.map(|name| name.directory()),
        },
        Outcome::Stopped { step, checkpoint } => Report::Stopped {
            step: step.0,
            checkpoint: checkpoint.map(|name| name.directory()),
        },
        Outcome::Failed { reason } => Report::Failed { reason },
    }
}

/// One JSON line on standard output.
fn say(report: &Report) {
    // A parent that has gone needs no word; the pipe that it held ends this process.
    let _ = say::result(serde_json::json!(report));
}
