//! What the driver shows of its run: it feeds the view with all that goes by, and gives out its
//! documents.

use crate::http::{Feed, Frame};
use crate::view::{Document, View};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use twinspan_coordinator_core::{Action, Core, Event, Request};
use twinspan_telemetry::metrics::MetricExport;
use twinspan_types::Fact;

/// How often the values are made that are pushed.
const PUSH_EVERY: Duration = Duration::from_secs(5);
/// Longest time for the last push when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What those who look at the run ask for.
pub enum Show {
    /// A document as JSON; none where there is none.
    Document(Document, oneshot::Sender<Option<String>>),
    /// The metrics as Prometheus reads them.
    Metrics(oneshot::Sender<String>),
    /// All documents from now on.
    Watch(oneshot::Sender<watch::Receiver<Frame>>),
}

/// Shows one run.
pub struct Screen {
    view: View,
    feed: Feed,
    /// Where metrics are pushed, if anywhere, and when they were last made.
    pushed: Option<(MetricExport, Instant)>,
    /// An instant, and the time since 1970 that it was.
    origin: (Instant, Duration),
}

impl Screen {
    pub fn new(view: View, export: Option<MetricExport>) -> Self {
        // A clock before 1970 shows so.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            view,
            feed: Feed::default(),
            pushed: export.map(|export| (export, Instant::now())),
            origin: (Instant::now(), now.unwrap_or_default()),
        }
    }

    /// Since 1970, by a clock that nobody sets meanwhile.
    fn now(&self) -> Duration {
        let (origin, since_1970) = self.origin;
        since_1970 + origin.elapsed()
    }

    /// Takes note of what the core is about to hear.
    pub fn hears(&mut self, core: &Core, event: &Event) {
        let now = self.now();
        match event {
            Event::RecordLogged(fact, Ok(())) => {
                self.view.logged(now, fact);
                if matches!(fact, Fact::WorldFormed { .. }) {
                    self.view.meet(&core.status());
                }
            }
            Event::Request {
                request: Request::PartsStored(stored),
                ..
            } => self.view.parts_stored(now, stored),
            _ => {}
        }
    }

    /// Takes note of what is about to be done.
    pub fn sees(&mut self, action: &Action) {
        self.view.note(self.now(), action);
    }

    /// Gives what is asked for; who has gone needs it no more.
    pub fn show(&mut self, core: &Core, show: Show) {
        let status = core.status();
        match show {
            Show::Document(document, answer) => {
                let _ = answer.send(self.view.document(document, &status));
            }
            Show::Metrics(answer) => {
                let _ = answer.send(self.view.prometheus(&status, self.now()));
            }
            Show::Watch(answer) => {
                let frames = self.feed.watch(Instant::now(), &mut self.view, &status);
                let _ = answer.send(frames);
            }
        }
    }

    /// When to call [`Self::refresh_if_due`]; never while nobody watches.
    pub fn due(&self) -> Option<Instant> {
        let pushed = self.pushed.as_ref();
        let push = pushed.map(|(_, last)| *last + PUSH_EVERY);
        self.feed.due().into_iter().chain(push).min()
    }

    /// Shows the run as it is now to those who watch, where it is time.
    pub fn refresh_if_due(&mut self, core: &Core) {
        let now = Instant::now();
        if self.due().is_some_and(|due| due <= now) {
            self.refresh(core, now);
        }
    }

    /// Shows how it has ended.
    pub async fn close(&mut self, core: &Core) {
        self.refresh(core, Instant::now());
        if let Some((export, _)) = self.pushed.take() {
            let last_words = tokio::task::spawn_blocking(move || export.shutdown(LAST_WORDS));
            // A collector that hangs is waited for no longer.
            let _ = last_words.await;
        }
    }

    fn refresh(&mut self, core: &Core, now: Instant) {
        let status = core.status();
        if self.feed.due().is_some() {
            self.feed.publish(now, &mut self.view, &status);
        }
        let since_1970 = self.now();
        if let Some((export, last)) = &mut self.pushed {
            *last = now;
            export.update(self.view.points(&status, since_1970));
        }
    }
}
