//! The task that owns the core, the log and the store: it feeds events in and carries actions out,
//! in their order.

use crate::run_dir::RunDir;
use crate::segments::Segments;
use crate::{CoordinatorError, Outcome};
use object_store::PutMode;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use twinspan_coordinator_core::{Action, Core, Event, Request, Response, Token};
use twinspan_types::{CheckpointName, Manifest, RunConfig, ServiceError};

/// An answer to a request.
pub type Answer = Result<Response, ServiceError>;

/// What the driver is asked.
pub enum Ask {
    /// A request of the service, and where its answer goes.
    Request(Request, oneshot::Sender<Answer>),
    /// This process is to stop the run.
    Stop,
}

/// The driver.
pub struct Driver {
    core: Core,
    run: RunDir,
    segments: Segments,
    queue: mpsc::Receiver<Ask>,
    waiting: BTreeMap<Token, oneshot::Sender<Answer>>,
    tokens: u64,
    origin: Instant,
}

impl Driver {
    pub fn new(core: Core, run: RunDir, config: RunConfig, queue: mpsc::Receiver<Ask>) -> Self {
        let origin = Instant::now();
        let segments = Segments::new(run.files.clone(), &config, origin);
        Self {
            core,
            run,
            segments,
            queue,
            waiting: BTreeMap::new(),
            tokens: 0,
            origin,
        }
    }

    /// Runs until the core says that the run is over.
    pub async fn run(mut self) -> Result<Outcome, CoordinatorError> {
        loop {
            let deadline = self.core.next_deadline().map(|after| self.origin + after);
            let due = self
                .segments
                .due()
                .min(deadline.unwrap_or(self.segments.due()));
            let event = tokio::select! {
                ask = self.queue.recv() => match ask {
                    Some(ask) => self.event_of(ask),
                    None => return Err(CoordinatorError::DriverGone),
                },
                () = tokio::time::sleep_until(due.into()) => Event::Tick,
            };
            if let Some(outcome) = self.handle(event).await? {
                self.segments.flush(Instant::now()).await?;
                self.segments.join().await?;
                return Ok(outcome);
            }
            if Instant::now() >= self.segments.due() {
                self.segments.flush(Instant::now()).await?;
            }
        }
    }

    fn event_of(&mut self, ask: Ask) -> Event {
        match ask {
            Ask::Stop => Event::StopRequested,
            Ask::Request(request, answer) => {
                let token = Token(self.tokens);
                self.tokens += 1;
                self.waiting.insert(token, answer);
                Event::Request { token, request }
            }
        }
    }

    /// Carries out an event's actions, and those of the events that they lead to.
    async fn handle(&mut self, event: Event) -> Result<Option<Outcome>, CoordinatorError> {
        let mut events = VecDeque::from([event]);
        let mut finished = None;
        while let Some(event) = events.pop_front() {
            for action in self.core.handle(self.origin.elapsed(), event) {
                match action {
                    Action::Finish(outcome) => finished = Some(outcome),
                    action => events.extend(self.carry_out(action).await?),
                }
            }
        }
        Ok(finished)
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Event>, CoordinatorError> {
        match action {
            Action::Reply(token, answer) => {
                if let Some(waiting) = self.waiting.remove(&token) {
                    // A client that has gone needs no answer.
                    let _ = waiting.send(answer);
                }
            }
            Action::Log(fact) => {
                let logged = match self.run.log.append(fact.clone()).await {
                    Err(superseded @ CoordinatorError::Superseded { .. }) => {
                        return Err(superseded);
                    }
                    logged => logged.map_err(|error| error.to_string()),
                };
                tracing::debug!(?fact, "logged");
                return Ok(Some(Event::RecordLogged(fact, logged)));
            }
            Action::StoreManifest(manifest) => {
                let path = format!("{}/{}", manifest.name.directory(), Manifest::FILE);
                let text = format!("{:#}\n", serde_json::json!(manifest));
                let stored = self
                    .run
                    .files
                    .put(&path, text.into(), PutMode::Create)
                    .await;
                let stored = stored.map_err(|error| error.to_string());
                return Ok(Some(Event::ManifestStored(manifest.name, stored)));
            }
            Action::RemoveCheckpoint(name) => self.remove(name).await?,
            Action::AppendMetrics(generation, steps) => {
                self.segments.add_metrics(generation, steps)
            }
            Action::AppendSkips(generation, skips) => self.segments.add_skips(generation, skips),
            Action::FlushSegments => {
                if let Err(error) = self.segments.flush(Instant::now()).await {
                    return Ok(Some(Event::FlushFailed(error.to_string())));
                }
            }
            Action::Finish(_) => {}
        }
        Ok(None)
    }

    /// Removes the manifest first: what is left then is no checkpoint.
    async fn remove(&self, name: CheckpointName) -> Result<(), CoordinatorError> {
        let directory = name.directory();
        self.run
            .files
            .remove(&format!("{directory}/{}", Manifest::FILE))
            .await?;
        for part in self.run.files.list(&directory).await? {
            self.run
                .files
                .remove(&format!("{directory}/{part}"))
                .await?;
        }
        Ok(())
    }
}
