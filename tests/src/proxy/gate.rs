//! A proxy that shows a test each request at two moments: when the server has nothing of it yet,
//! and when the server has carried it out and the client does not know. Whoever kills the client
//! there has killed it before a write, or after it.

use crate::background::Background;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self as upstream, SendRequest};
use hyper::server::conn::http1 as downstream;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Where a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The proxy has all of it, the server nothing.
    Before,
    /// The server has answered it, and the client has nothing of the answer.
    After,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It goes on.
    Open,
    /// It stays here, and the client's connection is closed.
    Shut,
}

/// A request as the guard sees it.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// Such as `PUT`.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

type Guard = dyn Fn(Passing<'_>, Moment) -> Way + Send + Sync;

/// An HTTP proxy that asks a guard about every request; it ends with all its connections on drop.
#[derive(Debug)]
pub struct Gate {
    background: Background,
}

impl Gate {
    /// Listens at a free port of 127.0.0.1 and passes requests on to `server`. The guard is called
    /// from one thread, and nothing else passes while it thinks.
    ///
    /// # Errors
    /// What the system says when it gives no port or thread.
    pub fn start(
        server: SocketAddr,
        guard: impl Fn(Passing<'_>, Moment) -> Way + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let guard: Arc<Guard> = Arc::new(guard);
        let background =
            Background::listen("gate", move |listener| accept(listener, server, guard))?;
        Ok(Self { background })
    }

    /// The proxy's URL, for a client of the server behind it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.background.address())
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, guard: Arc<Guard>) {
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        if let Ok((client, _)) = accepted {
            let guard = Arc::clone(&guard);
            connections.spawn(async move {
                // A client that is cut off sees it; nobody else needs to know.
                let _ = connect(client, server, guard).await;
            });
        }
    }
}

/// Serves one connection over one of its own to the server: answers come in the order of requests.
async fn connect(client: TcpStream, server: SocketAddr, guard: Arc<Guard>) -> io::Result<()> {
    let stream = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    stream.set_nodelay(true)?;
    let (sender, connection) = upstream::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    let sender = Arc::new(Mutex::new(sender));
    let service = service_fn(move |request| pass(request, Arc::clone(&sender), Arc::clone(&guard)));
    let serving = downstream::Builder::new().serve_connection(TokioIo::new(client), service);
    tokio::select! {
        served = serving => served.map_err(io::Error::other),
        gone = connection => gone.map_err(io::Error::other),
    }
}

async fn pass(
    request: Request<Incoming>,
    server: Arc<Mutex<SendRequest<Full<Bytes>>>>,
    guard: Arc<Guard>,
) -> Result<Response<Incoming>, Shut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Shut)?.to_bytes();
    let (method, target) = (head.method.to_string(), head.uri.to_string());
    let ask = |moment| {
        let passing = Passing {
            method: &method,
            target: &target,
            body: &body,
        };
        match guard(passing, moment) {
            Way::Open => Ok(()),
            Way::Shut => Err(Shut),
        }
    };
    ask(Moment::Before)?;
    let request = Request::from_parts(head, Full::new(body.clone()));
    let mut server = server.lock().await;
    server.ready().await.map_err(|_| Shut)?;
    let answer = server.send_request(request).await.map_err(|_| Shut)?;
    ask(Moment::After)?;
    Ok(answer)
}

/// Why a connection is closed without an answer.
#[derive(Debug)]
struct Shut;

impl fmt::Display for Shut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gate is shut")
    }
}

impl std::error::Error for Shut {}
