//! The status page, the JSON API, its stream, and metrics as Prometheus reads them.

mod assets;
mod connections;
mod feed;
mod guard;
mod routes;
mod stream;
#[cfg(test)]
mod tests;

pub use feed::{Feed, Frame};

use crate::driver::Ask;
use crate::screen::Show;
use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

/// Streams that are open at once.
const STREAMS: usize = 64;
/// Longest wait for what the driver shows.
const ANSWER: Duration = Duration::from_secs(5);

/// What the handlers share.
#[derive(Clone)]
pub struct Shared {
    driver: mpsc::Sender<Ask>,
    streams: Arc<Semaphore>,
}

/// Serves the page until told to stop, and then what was begun.
pub async fn serve(
    listener: TcpListener,
    driver: mpsc::Sender<Ask>,
    stop: impl Future<Output = ()>,
) {
    let address = listener.local_addr().ok();
    let only_here = address.map(|address| address.ip());
    let only_here = only_here.filter(|address| address.is_loopback());
    let shared = Shared {
        driver,
        streams: Arc::new(Semaphore::new(STREAMS)),
    };
    let router = guard::guarded(routes::router(shared), only_here);
    connections::serve(listener, router, stop).await;
}

impl Shared {
    /// Asks the driver to show something; an error is the answer to the client.
    async fn ask<T>(&self, show: impl FnOnce(oneshot::Sender<T>) -> Show) -> Result<T, Response> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.driver.send(Ask::Show(show(answer))).await.ok()?;
            answered.await.ok()
        };
        let answered = timeout(ANSWER, asked).await.ok().flatten();
        let ending = "the coordinator is ending, or too busy: ask again";
        answered.ok_or_else(|| error(StatusCode::SERVICE_UNAVAILABLE, ending))
    }
}

/// A document as the body of an answer.
fn json(text: String) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Why there is no document, and what to do.
fn error(status: StatusCode, what: &str) -> Response {
    let text = serde_json::json!({"error": what}).to_string();
    (status, json(text)).into_response()
}

/// The whole of the routes, for a router of any state.
type Routes = Router<Shared>;
