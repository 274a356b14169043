//! The way to a coordinator, and what is asked of it without taking part.

use crate::SessionError;
use crate::calls::call;
use crate::trace::client;
use std::time::Duration;
use tokio::runtime::Builder;
use tonic::transport::{Channel, Endpoint};
use twinspan_proto::v1;
use twinspan_types::RunConfig;

/// Longest time of one attempt to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Silence on the connection after which it is tried, and after which it is given up for another:
/// the coordinator's machine may be gone without a word.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// A channel to the coordinator at a URL; it connects with the first call. To be made within a
/// runtime.
pub(crate) fn channel(url: &str) -> Result<Channel, SessionError> {
    let bad_url = || SessionError::BadUrl {
        url: url.to_owned(),
    };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| bad_url())?;
    if endpoint.uri().scheme().is_none() {
        return Err(bad_url());
    }
    Ok(endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// The configuration of the run that a coordinator drives, for whoever is about to join: a worker
/// says in its join what it computes on.
///
/// # Errors
/// The URL is none, or the coordinator cannot be reached within `patience`.
pub async fn run_at(url: &str, patience: Duration) -> Result<RunConfig, SessionError> {
    let channel = channel(url)?;
    let asked = call(url, "GetRun", patience, || {
        let mut client = client(channel.clone());
        async move { client.get_run(v1::GetRunRequest {}).await }
    });
    parse(&asked.await?.config)
}

/// As [`run_at`], for a thread that waits.
///
/// # Errors
/// As [`run_at`].
pub fn wait_for_run(url: &str, patience: Duration) -> Result<RunConfig, SessionError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SessionError::Runtime)?;
    runtime.block_on(run_at(url, patience))
}

/// A configuration as it comes over the wire.
pub(crate) fn parse(config: &str) -> Result<RunConfig, SessionError> {
    serde_json::from_str(config).map_err(|error| SessionError::UnreadableConfig(error.to_string()))
}
