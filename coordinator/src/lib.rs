//! Drives a run: a gRPC service and a durable log around the pure core.

mod checkpoints;
mod curves;
mod driver;
mod error;
mod http;
mod log;
mod record;
mod roots;
mod run_dir;
mod screen;
mod scribe;
mod segments;
mod service;
mod takeover;
mod telling;
mod tensorboard;
mod trace_file;
mod traced;
mod view;

pub use checkpoints::{
    CheckedCheckpoint, CheckpointFault, KeptCheckpoint, Soundness, check_checkpoints,
    kept_checkpoints,
};
pub use error::CoordinatorError;
pub use record::{Trained, given_up, read_run, trained};
pub use run_dir::latest_checkpoint;
pub use segments::CURVES;
pub use takeover::{Presence, Probe};
pub use trace_file::TRACE;
pub use twinspan_coordinator_core::Outcome;

use driver::Driver;
use futures::{FutureExt, Stream};
use run_dir::RunDir;
use screen::Screen;
use std::time::Duration;
use telling::Telling;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};
use twinspan_coordinator_core::{Core, CoreConfig};
use twinspan_data::{Directory, Stores};
use twinspan_proto::MAX_MESSAGE_BYTES;
use twinspan_proto::v1::coordinator_server::CoordinatorServer;
use twinspan_types::{Index, RunConfig};
use view::View;

/// Requests that wait for the driver at most.
const QUEUE: usize = 1024;
/// Longest time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for the last answers when the run is over.
const CLOSE: Duration = Duration::from_secs(1);

/// Silence on a connection after which it is tried, and after which it is given up.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// A coordinator that listens.
pub struct Coordinator {
    stop: mpsc::Sender<driver::Ask>,
    outcome: oneshot::Receiver<Result<Outcome, CoordinatorError>>,
    /// Dropped, it closes the connections.
    serving: oneshot::Sender<()>,
    tasks: JoinSet<()>,
}

/// Asks a coordinator to stop its run in order.
#[derive(Clone)]
pub struct CoordinatorHandle(mpsc::Sender<driver::Ask>);

impl CoordinatorHandle {
    /// Checkpoints at the next boundary and ends the run there.
    pub async fn stop(&self) {
        // A coordinator that has ended needs no request.
        let _ = self.0.send(driver::Ask::Stop).await;
    }
}

/// What a start gave.
pub enum Started {
    /// The run takes workers.
    Running(Coordinator),
    /// The run had ended before.
    Over(Outcome),
}

/// Where a coordinator keeps its run, and how others reach it.
pub struct Place<I> {
    /// The run's files.
    pub files: Directory,
    /// `host:port` where other coordinators can ask whether this one lives.
    pub address: String,
    /// Connections of workers and operators.
    pub incoming: I,
    /// Asks whether the run's last coordinator lives.
    pub probe: Box<Probe>,
    /// Where the status page is served, if anywhere.
    pub page: Option<TcpListener>,
}

impl Place<TcpIncoming> {
    /// The run's own URL, served on `listener`; to others it is `advertised`, or the listener's own
    /// address.
    ///
    /// # Errors
    /// The listener's address cannot be told, or the URL is none.
    pub fn of(
        config: &RunConfig,
        listener: TcpListener,
        advertised: Option<String>,
    ) -> Result<Self, CoordinatorError> {
        let address = listener.local_addr().map_err(CoordinatorError::Listen)?;
        Ok(Self {
            files: Directory::open(&Stores::default(), &config.url())?,
            address: advertised.unwrap_or_else(|| address.to_string()),
            // An answer goes out at once, though what came before it is not acknowledged yet.
            incoming: TcpIncoming::from(listener).with_nodelay(Some(true)),
            probe: takeover::over_tcp(),
            page: None,
        })
    }
}

/// Opens a term of the run and serves it.
///
/// # Errors
/// The run's directory holds another run, cannot be read or written, or another coordinator owns
/// it.
pub async fn start<I, IO>(
    config: RunConfig,
    index: Index,
    place: Place<I>,
    entropy: [u8; 32],
) -> Result<Started, CoordinatorError>
where
    I: Stream<Item = std::io::Result<IO>> + Send + 'static,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let Place {
        files,
        address,
        incoming,
        probe,
        page,
    } = place;
    // Before anything is written: it may be asked for what makes no sense.
    let trace = trace_file::TraceFile::default();
    let mut telling = Telling::open(&config.url(), trace.clone())?;
    let export = telling::metric_export(&config.url())?;
    let (run, found) = RunDir::open(files, &config, &index, &address, &*probe).await?;
    let (recovered, past) = match found {
        run_dir::Found::Ended(outcome) => return Ok(Started::Over(outcome)),
        run_dir::Found::Open(found) => *found,
    };
    telling.go_on_with(recovered.at_work.as_ref());
    if let Some(earlier) = run.files.read(trace_file::TRACE).await? {
        trace.go_on_with(&String::from_utf8_lossy(&earlier));
    }
    let core_config = CoreConfig::new(&config, index.samples());
    let view = View::new(&config, index, past)?;
    let core = Core::new(core_config, recovered, entropy, Duration::ZERO);
    let config_json = serde_json::json!(config).to_string();
    let (asks, queue) = mpsc::channel(QUEUE);
    let (told, outcome) = oneshot::channel();
    let mut tasks = JoinSet::new();
    let service = service::Service::new(asks.clone(), config_json);
    let server = CoordinatorServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let (serving, closed) = oneshot::channel::<()>();
    // Its sender says nothing: it goes.
    let closed = closed.map(drop).shared();
    let close = closed.clone();
    if let Some(page) = page {
        tasks.spawn(http::serve(page, asks.clone(), closed));
    }
    tasks.spawn(async move {
        let serving = Server::builder()
            .timeout(REQUEST_TIMEOUT)
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .concurrency_limit_per_connection(64)
            .layer(traced::TraceCalls)
            .add_service(server)
            .serve_with_incoming_shutdown(incoming, close);
        if let Err(error) = serving.await {
            tracing::error!(%error, "the coordinator's service ended");
        }
    });
    let scribe = scribe::Scribe::new(run, &config, trace);
    let screen = Screen::new(view, export);
    let driver = Driver::new(core, scribe, telling, screen, queue);
    tasks.spawn(async move {
        // Nobody waits for an outcome that is not taken.
        let _ = told.send(driver.run().await);
    });
    Ok(Started::Running(Coordinator {
        stop: asks,
        outcome,
        serving,
        tasks,
    }))
}

impl Coordinator {
    /// A handle that can stop the run.
    #[must_use]
    pub fn handle(&self) -> CoordinatorHandle {
        CoordinatorHandle(self.stop.clone())
    }

    /// Waits until the run is over for this coordinator.
    ///
    /// # Errors
    /// The store failed, or another coordinator took the run over.
    pub async fn wait(mut self) -> Result<Outcome, CoordinatorError> {
        let outcome = self
            .outcome
            .await
            .unwrap_or(Err(CoordinatorError::DriverGone));
        drop(self.serving);
        let closed = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSE, closed).await.is_err() {
            self.tasks.shutdown().await;
        }
        outcome
    }
}
