//! What the coordinator tells a collector: the spans of its own, and what its log lines belong to.

use crate::roots::Roots;
use crate::trace_file::TraceFile;
use std::time::Duration;
use twinspan_coordinator_core::{Action, Event, LoggedWorld, Topic};
use twinspan_telemetry::metrics::MetricExport;
use twinspan_telemetry::{
    Attributes, Exporter, Span, SpanContext, SpanId, TelemetryError, TraceId, env, export,
    exporter, install, set_current, since_1970,
};
use twinspan_types::{Fact, Generation};

/// Longest time for the last spans when the run is over.
const LAST_WORDS: Duration = Duration::from_secs(2);

const SERVICE: &str = "twinspan-coordinator";

/// Who tells.
fn attributes(run: &str) -> Attributes {
    vec![
        ("twinspan.run", run.to_owned()),
        ("process.pid", std::process::id().to_string()),
    ]
}

/// Where metrics are pushed, if anywhere, by the environment's variables.
///
/// # Errors
/// The variables make no sense.
pub fn metric_export(run: &str) -> Result<Option<MetricExport>, TelemetryError> {
    MetricExport::from_env(SERVICE, &attributes(run), &env)
}

/// Tells of one run.
pub struct Telling {
    run: String,
    roots: Roots,
    file: TraceFile,
}

impl Telling {
    /// By the environment's variables: a collector is told where one is named. `run` is the run's URL;
    /// `file` takes the ranks' sampled steps, whoever else is told.
    ///
    /// # Errors
    /// The variables make no sense.
    pub fn open(run: &str, file: TraceFile) -> Result<Self, TelemetryError> {
        install(Exporter::from_env(SERVICE, &attributes(run), &env)?);
        Ok(Self {
            run: run.to_owned(),
            roots: Roots::new(run.to_owned()),
            file,
        })
    }

    /// A generation of an earlier term may go on.
    pub fn go_on_with(&mut self, at_work: Option<&LoggedWorld>) {
        if let Some(world) = at_work {
            self.roots.go_on_with(world.generation, world.members.len());
            self.log_within(world.generation);
        }
    }

    /// Takes note of what the core is about to hear.
    pub fn hears(&mut self, event: &Event) {
        let Event::RecordLogged(fact, Ok(())) = event else {
            return;
        };
        if let Fact::WorldFormed { generation, .. } = fact {
            self.log_within(*generation);
        }
        tell(self.roots.logged(since_1970(), fact));
    }

    /// Takes note of what is about to be done.
    pub fn sees(&mut self, action: &Action) {
        match action {
            Action::Log(fact) => self.roots.begin(since_1970(), fact),
            Action::StoreManifest(manifest) => self.roots.begin_manifest(since_1970(), manifest),
            Action::Trace(rank, traces) => {
                self.file.take(*rank, traces);
                tell(self.roots.take(traces));
            }
            Action::Tell(Topic::Lost | Topic::Rollback, why) => {
                self.roots.lost(since_1970(), why);
            }
            _ => {}
        }
    }

    /// Delivers what waits.
    pub async fn close(mut self) {
        tell(self.roots.close());
        let last_words = tokio::task::spawn_blocking(|| exporter().shutdown(LAST_WORDS));
        // A collector that hangs is waited for no longer.
        let _ = last_words.await;
    }

    /// Log lines belong to the generation's trace from now on.
    fn log_within(&self, generation: Generation) {
        set_current(Some(SpanContext {
            trace: TraceId::of_generation(&self.run, generation),
            span: SpanId::of_generation(&self.run, generation),
            sampled: true,
        }));
    }
}

fn tell(spans: Vec<Span>) {
    spans.into_iter().for_each(export);
}
