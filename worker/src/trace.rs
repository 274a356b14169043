//! What a rank tells a collector, and what its log lines and calls belong to.

use std::time::Duration;
use twinspan_telemetry::{
    Attributes, Exporter, SpanContext, SpanId, TelemetryError, TraceId, env, install,
    rank_attributes, rank_context, rank_spans, set_current,
};
use twinspan_types::{Generation, Rank, RankTrace, Step};

/// Longest time for the last spans when the worker ends.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What a rank tells of itself beside its reports.
#[derive(Clone)]
pub(crate) struct Telling {
    exporter: Exporter,
    run: String,
    base: Attributes,
}

impl Telling {
    /// By the environment's variables: a collector is told where one is named.
    ///
    /// # Errors
    /// The variables make no sense.
    pub(crate) fn open(run: &str, host: &str, device: &str) -> Result<Self, TelemetryError> {
        let base = vec![
            ("twinspan.run", run.to_owned()),
            ("host.name", host.to_owned()),
            ("twinspan.device", device.to_owned()),
            ("process.pid", std::process::id().to_string()),
        ];
        let exporter = Exporter::from_env("twinspan-worker", &base, &env)?;
        install(exporter.clone());
        Ok(Self {
            exporter,
            run: run.to_owned(),
            base,
        })
    }

    /// The rank is on its way into a generation.
    pub(crate) fn enter(&self, generation: Generation, rank: Rank) {
        let attributes = rank_attributes(&self.base, generation, rank);
        self.exporter.set_resource(&attributes, &env);
        set_current(Some(SpanContext {
            trace: TraceId::of_generation(&self.run, generation),
            span: SpanId::of_entry(&self.run, generation, rank),
            sampled: true,
        }));
    }

    /// The rank is in this step.
    pub(crate) fn step(&self, generation: Generation, step: Step, rank: Rank, sampled: bool) {
        let context = rank_context(&self.run, generation, step, rank, sampled);
        set_current(Some(context));
    }

    /// How the rank spent its time.
    pub(crate) fn tell(&self, rank: Rank, trace: &RankTrace) {
        if self.exporter.is_enabled() && trace.sampled.is_some() {
            for span in rank_spans(&self.run, rank, trace) {
                self.exporter.export(span);
            }
        }
    }

    /// Delivers what waits.
    pub(crate) fn close(&self) {
        self.exporter.shutdown(LAST_WORDS);
    }
}
