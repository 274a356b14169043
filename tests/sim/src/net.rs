//! The simulated network for gRPC: what tonic needs to serve and to connect.

use futures::{Stream, stream};
use hyper_util::rt::TokioIo;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use turmoil::net::{TcpListener, TcpStream};

/// The port of coordinators.
pub const COORDINATOR_PORT: u16 = 7700;

/// A connection that a server has accepted.
pub struct Accepted(TcpStream);

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// The connections that come to a coordinator's port, from the moment when it serves them: a service's
/// name does not lead to a server that is not ready.
pub fn incoming() -> impl Stream<Item = io::Result<Accepted>> + Send {
    stream::unfold(None, async |listener| {
        let listener = match listener {
            Some(listener) => listener,
            None => match TcpListener::bind(("0.0.0.0", COORDINATOR_PORT)).await {
                Ok(listener) => listener,
                Err(error) => return Some((Err(error), None)),
            },
        };
        let accepted = listener.accept().await;
        let accepted = accepted.map(|(stream, _)| Accepted(stream));
        Some((accepted, Some(listener)))
    })
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

/// A channel to whichever of some hosts takes a connection first, as a service's name leads to
/// whichever of its servers is ready.
pub fn channel(hosts: &'static [&'static str]) -> Channel {
    let connector = tower::service_fn(move |_: tonic::transport::Uri| -> Connecting {
        Box::pin(async move {
            let mut last = io::Error::other("no host");
            for host in hosts {
                match connect(host, COORDINATOR_PORT).await {
                    Ok(stream) => return Ok(TokioIo::new(stream)),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    });
    Endpoint::from_static("http://coordinator:7700")
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connector)
}

/// Longest time of one attempt to connect.
const CONNECT: Duration = Duration::from_millis(500);

/// Connects to a port of a host.
///
/// # Errors
/// Nobody listens there, or there is no answer in time.
pub async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((host, port));
    match tokio::time::timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
