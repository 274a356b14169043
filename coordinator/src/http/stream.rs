//! Server-sent events: every document at first, then each when it has changed.

use super::{Frame, Shared, error};
use crate::screen::Show;
use crate::view::Document;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};

/// Pause after which a comment shows that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a browser is asked to wait before it comes again, in seconds.
const RETRY_AFTER: &str = "5";

/// `/api/v1/stream`.
pub async fn stream(State(shared): State<Shared>) -> Response {
    let Ok(place) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let full = error(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many streams are open: close a page",
        );
        let retry = [(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))];
        return (retry, full).into_response();
    };
    match shared.ask(Show::Watch).await {
        Ok(frames) => {
            let alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
            let events = events(Watcher::new(frames, place));
            Sse::new(events).keep_alive(alive).into_response()
        }
        Err(refused) => refused,
    }
}

/// One who watches.
struct Watcher {
    frames: watch::Receiver<Frame>,
    /// What it was sent of each document.
    sent: [Option<Arc<str>>; Document::STREAMED.len()],
    /// Dropped with the stream.
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    fn new(frames: watch::Receiver<Frame>, place: OwnedSemaphorePermit) -> Self {
        Self {
            frames,
            sent: Default::default(),
            _place: place,
        }
    }

    /// The next document that is not what was sent; none when the run is over and all was.
    async fn next(&mut self) -> Option<(Document, Arc<str>)> {
        loop {
            let changed = {
                let frame = self.frames.borrow_and_update();
                let mut documents = frame.iter().zip(&self.sent).enumerate();
                let differs = |(_, (now, sent)): &(usize, (&Arc<str>, &Option<Arc<str>>))| {
                    sent.as_ref().is_none_or(|sent| !Arc::ptr_eq(now, sent))
                };
                let changed = documents.find(differs);
                changed.map(|(place, (now, _))| (place, Arc::clone(now)))
            };
            if let Some((place, text)) = changed {
                self.sent[place] = Some(Arc::clone(&text));
                return Some((Document::STREAMED[place], text));
            }
            self.frames.changed().await.ok()?;
        }
    }
}

fn events(watcher: Watcher) -> impl Stream<Item = Result<Event, Infallible>> {
    futures::stream::unfold(watcher, |mut watcher| async move {
        let (document, text) = watcher.next().await?;
        let event = Event::default().event(document.name()).data(text);
        Some((Ok(event), watcher))
    })
}
