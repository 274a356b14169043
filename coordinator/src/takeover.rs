//! When a coordinator may take a run over from the last one.

use crate::CoordinatorError;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Endpoint;
use twinspan_proto::v1;
use twinspan_proto::v1::coordinator_client::CoordinatorClient;
use twinspan_types::RunConfig;

/// Longest wait for one answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// What can be told of an address where a coordinator has listened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// A coordinator of this run answers.
    Answers {
        /// The run's name.
        run: String,
    },
    /// Its machine says that nobody listens there.
    Gone,
    /// No answer: it may be dead, frozen, or cut off from here.
    Silent,
}

/// Asks an address who is there.
pub type Probe = dyn Fn(String) -> Pin<Box<dyn Future<Output = Presence> + Send>> + Send + Sync;

/// The probe of the real network.
#[must_use]
pub fn over_tcp() -> Box<Probe> {
    Box::new(|address| Box::pin(async move { ask(&address).await }))
}

async fn ask(address: &str) -> Presence {
    match timeout(ANSWER, TcpStream::connect(address)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Presence::Gone,
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Presence::Silent,
    }
    let Ok(endpoint) = Endpoint::from_shared(format!("http://{address}")) else {
        return Presence::Gone;
    };
    let channel = endpoint.connect_timeout(ANSWER).timeout(ANSWER);
    let mut client = CoordinatorClient::new(channel.connect_lazy());
    match client.get_status(v1::GetStatusRequest {}).await {
        Ok(status) => Presence::Answers {
            run: status.into_inner().run,
        },
        Err(_) => Presence::Silent,
    }
}

/// Returns when the coordinator at `owner` is known to be gone, or has been out of reach for
/// `cluster.takeover_after`. Whoever takes over too early does no harm: the log has one next record.
///
/// # Errors
/// It answers.
pub async fn wait_until_gone(
    owner: &str,
    config: &RunConfig,
    probe: &Probe,
) -> Result<(), CoordinatorError> {
    let patience = config.cluster.takeover_after;
    let start = Instant::now();
    let mut told = false;
    loop {
        match probe(owner.to_owned()).await {
            Presence::Answers { run } if run == config.run => {
                return Err(CoordinatorError::StillRunning {
                    run: config.url(),
                    address: format!("http://{owner}"),
                });
            }
            // Another run's coordinator has the port now.
            Presence::Answers { .. } | Presence::Gone => return Ok(()),
            Presence::Silent if start.elapsed() >= patience => {
                tracing::warn!(
                    "the run's last coordinator at {owner} has been out of reach for {patience:?}: \
                     this one takes over"
                );
                return Ok(());
            }
            Presence::Silent => {}
        }
        if !told {
            tracing::info!(
                "the run's last coordinator at {owner} gives no answer; this one takes over when \
                 that lasts for cluster.takeover_after, {patience:?}"
            );
            told = true;
        }
        sleep(PAUSE).await;
    }
}
