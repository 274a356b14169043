//! The task that owns the log and the store: it writes what the core decides, in the core's order.
//! A store that is slow or away holds up no answer to a worker.

use crate::CoordinatorError;
use crate::run_dir::RunDir;
use crate::segments::Segments;
use crate::trace_file::{TRACE, TraceFile};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use twinspan_coordinator_core::{Action, Event};
use twinspan_types::{CheckpointName, Fact, Manifest, RunConfig};

/// Actions that wait to be carried out at most. Each leads to one event at most, and the events'
/// channel is as long: the scribe never waits for the driver while the driver waits for it.
pub const WAITING: usize = 1024;

/// Pause between two looks whether another coordinator has taken the run over.
const LOOK_FOR_SUCCESSOR: Duration = Duration::from_secs(5);

/// Looks between two writings of the trace file.
const LOOKS_A_TRACE: u32 = 6;

/// Writes the run's files.
pub struct Scribe {
    run: RunDir,
    segments: Segments,
    trace: TraceFile,
}

impl Scribe {
    pub fn new(run: RunDir, config: &RunConfig, trace: TraceFile) -> Self {
        let segments = Segments::new(run.files.clone(), run.log.term(), config);
        Self {
            run,
            segments,
            trace,
        }
    }

    /// Carries actions out until there are no more, then joins the segments.
    ///
    /// # Errors
    /// Another coordinator took the run over, or what must not fail did.
    pub async fn run(
        mut self,
        mut actions: mpsc::Receiver<Action>,
        events: mpsc::Sender<Event>,
    ) -> Result<(), CoordinatorError> {
        for name in std::mem::take(&mut self.run.leftovers) {
            self.remove(name).await?;
        }
        let mut looks = interval(LOOK_FOR_SUCCESSOR);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked = 0_u32;
        loop {
            let action = tokio::select! {
                biased;
                action = actions.recv() => match action {
                    Some(action) => action,
                    None => break,
                },
                _ = looks.tick() => {
                    self.look_for_successor().await?;
                    looked = looked.wrapping_add(1);
                    if looked.is_multiple_of(LOOKS_A_TRACE) {
                        self.write_trace().await;
                    }
                    continue;
                }
            };
            if let Some(event) = self.carry_out(action).await? {
                // A driver that is gone needs no event.
                let _ = events.send(event).await;
            }
        }
        self.segments.flush().await?;
        self.write_trace().await;
        self.segments.join().await
    }

    /// Only shown: a store that is away costs the picture, and no more.
    async fn write_trace(&self) {
        let Some(text) = self.trace.render_if_changed() else {
            return;
        };
        if let Err(error) = self.run.files.write(TRACE, text.into()).await {
            tracing::debug!(%error, "the trace file was not written");
        }
    }

    /// A coordinator that was frozen or cut off, and taken for dead, hears of its successor here if
    /// it has nothing to write.
    async fn look_for_successor(&self) -> Result<(), CoordinatorError> {
        match self.run.log.check_alone().await {
            Err(CoordinatorError::Store(error)) => {
                tracing::debug!(%error, "the log could not be read");
                Ok(())
            }
            checked => checked,
        }
    }

    async fn carry_out(&mut self, action: Action) -> Result<Option<Event>, CoordinatorError> {
        match action {
            Action::Log(fact) => return self.log(fact).await.map(Some),
            Action::StoreManifest(manifest) => {
                let path = format!("{}/{}", manifest.name.directory(), Manifest::FILE);
                let text = format!("{:#}\n", serde_json::json!(manifest));
                let stored = self.run.files.create(&path, text.into()).await;
                let stored = stored.map_err(|error| error.to_string());
                return Ok(Some(Event::ManifestStored(manifest.name, stored)));
            }
            Action::RemoveCheckpoint(name) => self.remove(name).await?,
            Action::AppendMetrics(generation, steps) => {
                self.segments.add_metrics(generation, steps);
            }
            Action::AppendEvaluations(generation, evaluations) => {
                self.segments.add_evaluations(generation, evaluations);
            }
            Action::AppendSkips(generation, skips) => self.segments.add_skips(generation, skips),
            Action::FlushSegments => {
                let flushed = self.segments.flush().await;
                let flushed = flushed.map_err(|error| error.to_string());
                return Ok(Some(Event::Flushed(flushed)));
            }
            Action::Reply(..) | Action::Trace(..) | Action::Tell(..) | Action::Finish(_) => {}
        }
        Ok(None)
    }

    async fn log(&mut self, fact: Fact) -> Result<Event, CoordinatorError> {
        let logged = match self.run.log.append(fact.clone()).await {
            Err(superseded @ CoordinatorError::Superseded { .. }) => return Err(superseded),
            logged => logged.map_err(|error| error.to_string()),
        };
        tracing::debug!(?fact, "logged");
        Ok(Event::RecordLogged(fact, logged))
    }

    /// Removes the manifest first: what is left then is no checkpoint.
    async fn remove(&self, name: CheckpointName) -> Result<(), CoordinatorError> {
        let (files, directory) = (&self.run.files, name.directory());
        files
            .remove(&format!("{directory}/{}", Manifest::FILE))
            .await?;
        for part in files.list(&directory).await? {
            files.remove(&format!("{directory}/{part}")).await?;
        }
        Ok(())
    }
}
