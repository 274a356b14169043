//! Connections of the page: so many at once, and none that stands still.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Connections at once; others wait until one ends.
const CONNECTIONS: usize = 256;
/// Longest time to send a request's head, and longest idle time of a connection.
const HEAD: Duration = Duration::from_secs(15);
/// Longest time for which a client takes nothing of what it is sent.
const STALL: Duration = Duration::from_secs(30);
/// Pause after a connection could not be taken, as when this process has too many files open.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until told to stop, and then what was begun.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let (ending, ends) = watch::channel(());
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            Some((stream, place)) = accept(&listener, &room) => {
                connections.spawn(answer(stream, place, router.clone(), ends.clone()));
            }
        }
    }
    drop((listener, ending));
    while connections.join_next().await.is_some() {}
}

/// The next connection and its place among those that may be open.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Some((stream, place)),
            Err(error) => {
                tracing::debug!(%error, "the status page took no connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    router: Router,
    mut ends: watch::Receiver<()>,
) {
    let _place = place;
    // Where the system refuses either, the connection is as good without.
    let _ = stream.set_nodelay(true);
    let stall = u32::try_from(STALL.as_millis()).unwrap_or(u32::MAX);
    let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, stall);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Its sender says nothing: it goes.
        _ = ends.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the status page ended");
    }
}
