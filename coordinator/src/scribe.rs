//! The task that owns the log and the store: it writes what the core decides, in the core's order.
//! A store that is slow or away holds up no answer to a worker.

use crate::CoordinatorError;
use crate::run_dir::RunDir;
use crate::segments::Segments;
use tokio::sync::mpsc;
use twinspan_coordinator_core::{Action, Event};
use twinspan_types::{CheckpointName, Fact, Manifest, RunConfig};

/// Actions that wait to be carried out at most. Each leads to one event at most, and the events'
/// channel is as long: the scribe never waits for the driver while the driver waits for it.
pub const WAITING: usize = 1024;

/// Writes the run's files.
pub struct Scribe {
    run: RunDir,
    segments: Segments,
}

impl Scribe {
    pub fn new(run: RunDir, config: &RunConfig) -> Self {
        let segments = Segments::new(run.files.clone(), config);
        Self { run, segments }
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
        while let Some(action) = actions.recv().await {
            if let Some(event) = self.carry_out(action).await? {
                // A driver that is gone needs no event.
                let _ = events.send(event).await;
            }
        }
        self.segments.flush().await?;
        self.segments.join().await
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
            Action::AppendSkips(generation, skips) => self.segments.add_skips(generation, skips),
            Action::FlushSegments => {
                let flushed = self.segments.flush().await;
                let flushed = flushed.map_err(|error| error.to_string());
                return Ok(Some(Event::Flushed(flushed)));
            }
            Action::Reply(..) | Action::Tell(_) | Action::Finish(_) => {}
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
