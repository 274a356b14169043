//! The coordinator's own spans: the root of every sampled step's trace, which its ranks tell the parts
//! of, the manifest of a checkpoint, and how a generation came about.

use std::collections::BTreeMap;
use std::time::Duration;
use twinspan_telemetry::{Span, SpanContext, SpanId, TraceId, integer};
use twinspan_types::{
    CheckpointName, Fact, Generation, Manifest, RankTrace, SampleReason, Step, TraceKind,
};

/// Roots that wait for ranks at most: what a rank never tells of is let go.
const MOST_OPEN: usize = 64;

/// Collects what spans are made of. Times are since 1970.
#[derive(Debug, Default)]
pub struct Roots {
    /// The run's URL.
    run: String,
    ranks: usize,
    generation: Generation,
    steps: BTreeMap<(Generation, Step), Open>,
    entry: Open,
    /// When the generation before broke up, and why.
    lost: Option<(Duration, String)>,
    /// When the record of the next generation was begun.
    recording: Option<Duration>,
    manifests: BTreeMap<CheckpointName, (Generation, Duration)>,
}

/// A root whose ranks have not all told yet.
#[derive(Debug, Default, Clone, Copy)]
struct Open {
    told: usize,
    start: Option<Duration>,
    end: Duration,
    reason: Option<SampleReason>,
}

impl Open {
    fn add(&mut self, trace: &RankTrace) {
        let end = trace.started + Duration::from_micros(trace.duration_us);
        self.told += 1;
        self.end = self.end.max(end);
        let earlier = self.start.is_none_or(|start| trace.started < start);
        self.start = Some(trace.started).filter(|_| earlier).or(self.start);
        self.reason = self.reason.or(trace.sampled);
    }

    fn time(&self) -> (Duration, Duration) {
        let start = self.start.unwrap_or(self.end);
        (start, self.end.saturating_sub(start))
    }
}

impl Roots {
    /// Of the run at this URL.
    pub fn new(run: String) -> Self {
        Self {
            run,
            ..Self::default()
        }
    }

    /// A worker that the generation at work needs was lost, or another one is formed for other
    /// reasons.
    pub fn lost(&mut self, now: Duration, why: &str) {
        self.lost.get_or_insert_with(|| (now, why.to_owned()));
    }

    /// A fact is on its way into the log.
    pub fn begin(&mut self, now: Duration, fact: &Fact) {
        if let Fact::WorldFormed { .. } = fact {
            self.recording = Some(now);
        }
    }

    /// A manifest is on its way into the store.
    pub fn begin_manifest(&mut self, now: Duration, manifest: &Manifest) {
        let generation = manifest.generation;
        self.manifests.insert(manifest.name, (generation, now));
    }

    /// A fact is in the log.
    pub fn logged(&mut self, now: Duration, fact: &Fact) -> Vec<Span> {
        match fact {
            Fact::WorldFormed {
                generation,
                members,
                ..
            } => self.formed(now, *generation, members.len()),
            Fact::CheckpointCommitted { name, .. } => {
                let begun = self.manifests.remove(name);
                let span =
                    begun.map(|(generation, start)| self.manifest(*name, generation, start, now));
                span.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// A generation of so many ranks, which an earlier term formed, may go on.
    pub fn go_on_with(&mut self, generation: Generation, ranks: usize) {
        (self.generation, self.ranks) = (generation, ranks);
    }

    /// Takes what a rank tells; gives the roots whose ranks have all told.
    pub fn take(&mut self, traces: &[RankTrace]) -> Vec<Span> {
        let mut spans = Vec::new();
        for trace in traces.iter().filter(|trace| trace.sampled.is_some()) {
            match trace.kind {
                TraceKind::Step(step) => {
                    let key = (trace.generation, step);
                    let open = self.steps.entry(key).or_default();
                    open.add(trace);
                    if open.told >= self.ranks {
                        spans.extend(self.steps.remove(&key).map(|open| self.step(key, &open)));
                    }
                }
                TraceKind::Generation if trace.generation == self.generation => {
                    self.entry.add(trace);
                    if self.entry.told == self.ranks {
                        spans.push(self.generation_root());
                    }
                }
                TraceKind::Generation | TraceKind::Checkpoint(_) => {}
            }
        }
        while self.steps.len() > MOST_OPEN {
            self.steps.pop_first();
        }
        spans
    }

    /// The roots that some ranks have told of when nothing more is heard.
    pub fn close(&mut self) -> Vec<Span> {
        let open = std::mem::take(&mut self.steps);
        let roots = open.iter().map(|(key, open)| self.step(*key, open));
        roots.collect()
    }

    fn formed(&mut self, now: Duration, generation: Generation, ranks: usize) -> Vec<Span> {
        // What a lost rank did not tell will not come.
        let mut spans = self.close();
        (self.generation, self.ranks) = (generation, ranks);
        let recording = self.recording.take().unwrap_or(now);
        let lost = self.lost.take();
        let start = lost.as_ref().map_or(recording, |(at, _)| *at);
        self.entry = Open {
            start: Some(start),
            end: now,
            ..Open::default()
        };
        let root = SpanId::of_generation(&self.run, generation);
        let mut part = |number, name: &'static str, start: Duration, end: Duration| {
            let context = SpanContext {
                trace: TraceId::of_generation(&self.run, generation),
                span: root.child(number),
                sampled: true,
            };
            let time = (start, end.saturating_sub(start));
            let span = Span::internal(context, Some(root), name, time);
            spans.push(span);
        };
        if let Some((at, _)) = &lost {
            part(0, "lost", *at, *at);
            part(1, "wait", *at, recording);
        }
        part(2, "record", recording, now);
        if let Some((_, why)) = lost
            && let Some(span) = spans.iter_mut().find(|span| span.name == "lost")
        {
            span.attributes.push(("twinspan.reason", why.into()));
        }
        spans
    }

    fn root(
        &self,
        trace: TraceId,
        span: SpanId,
        name: &'static str,
        time: (Duration, Duration),
    ) -> Span {
        let context = SpanContext {
            trace,
            span,
            sampled: true,
        };
        let mut span = Span::internal(context, None, name, time);
        span.attributes
            .push(("twinspan.run", self.run.clone().into()));
        span
    }

    fn step(&self, (generation, step): (Generation, Step), open: &Open) -> Span {
        let trace = TraceId::of_step(&self.run, step);
        let id = SpanId::of_step(&self.run, generation, step);
        let mut span = self.root(trace, id, "step", open.time());
        span.attributes.extend([
            ("twinspan.step", integer(step.0)),
            ("twinspan.generation", integer(generation.0)),
            ("twinspan.ranks", integer(open.told as u64)),
        ]);
        if open.reason == Some(SampleReason::Failed) {
            span.error = Some("the step changed no weight, or broke".to_owned());
        }
        span
    }

    fn generation_root(&self) -> Span {
        let trace = TraceId::of_generation(&self.run, self.generation);
        let id = SpanId::of_generation(&self.run, self.generation);
        let mut span = self.root(trace, id, "generation", self.entry.time());
        let generation = integer(self.generation.0);
        span.attributes.push(("twinspan.generation", generation));
        let ranks = integer(self.ranks as u64);
        span.attributes.push(("twinspan.ranks", ranks));
        span
    }

    /// In the trace of the checkpoint's step.
    fn manifest(
        &self,
        name: CheckpointName,
        generation: Generation,
        start: Duration,
        end: Duration,
    ) -> Span {
        let root = SpanId::of_step(&self.run, generation, name.step);
        let context = SpanContext {
            trace: TraceId::of_step(&self.run, name.step),
            span: SpanId::random(),
            sampled: true,
        };
        let time = (start, end.saturating_sub(start));
        let mut span = Span::internal(context, Some(root), "manifest", time);
        let directory = name.directory();
        span.attributes
            .push(("twinspan.checkpoint", directory.into()));
        span
    }
}

#[cfg(test)]
mod tests;
