//! Outcomes to batches: each lane's good samples in the lane's order, drawn from its sources, and
//! what was passed over.

use super::decode::{Job, Outcome, Worked};
use super::read::{Event, Raw, ReadyWindow};
use super::{BatchTimes, LoaderConfig, LoaderError, LocalBatch, Place, SampleKey};
use crate::order::Plan;
use crossbeam_channel::{Receiver, Sender, select};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use twinspan_types::{Cursor, Epoch, Index, LaneId, ShardId, Skip, SourceId, Step};

/// What the assembler hears and says.
pub(super) struct Channels {
    pub(super) events: Receiver<Event>,
    pub(super) lease_moves: Receiver<()>,
    pub(super) stopped: Receiver<()>,
    pub(super) jobs: Sender<Job>,
    pub(super) jobs_at_once: usize,
    pub(super) batches: Sender<Result<(LocalBatch, BatchTimes), LoaderError>>,
}

/// Puts batches together, one step after the other.
pub(super) struct Assembler {
    index: Arc<Index>,
    plan: Arc<Plan>,
    lanes: Vec<LaneId>,
    /// Lane by lane, and source by source within.
    streams: Vec<Stream>,
    samples_per_lane: u32,
    row_bytes: usize,
    step: Step,
    /// The sources that the lanes draw from in the step and in the one after it.
    draws: [Draws; 2],
    lease: watch::Receiver<Step>,
    channels: Channels,
    jobs_out: usize,
}

/// What the lanes draw in one step.
struct Draws {
    /// Each lane's sources in the order of its rows.
    sources: Vec<Vec<SourceId>>,
    /// Rows that each stream gives.
    rows: Vec<usize>,
}

/// One stream between its windows and the batch.
struct Stream {
    place: Place,
    windows: VecDeque<ReadyWindow>,
    /// The number of the first of `pending`.
    first: u64,
    /// Samples in the stream's order that were given to the decoders and not yet taken.
    pending: VecDeque<Pending>,
    /// Good samples of the step.
    rows: VecDeque<Row>,
    /// Samples passed over in the step.
    skips: Vec<Skip>,
    /// The position after what was taken.
    cursor: Cursor,
    /// Samples passed over since the last good one.
    barren: u64,
}

struct Pending {
    epoch: Epoch,
    shard: ShardId,
    after: Cursor,
    outcome: Option<(Outcome, Worked)>,
}

struct Row {
    key: SampleKey,
    pixels: Vec<u8>,
    caption: Vec<u32>,
    worked: Worked,
}

/// Why the assembler stops.
enum Ended {
    /// An error that the training thread gets to see.
    Failed(LoaderError),
    /// The loader is being dropped.
    Dropped,
}

impl From<LoaderError> for Ended {
    fn from(error: LoaderError) -> Self {
        Self::Failed(error)
    }
}

impl Assembler {
    pub(super) fn new(
        config: &LoaderConfig,
        plan: Arc<Plan>,
        lanes: &[LaneId],
        streams: Vec<(Place, Cursor)>,
        channels: Channels,
    ) -> Self {
        let side = config.image_size as usize;
        let samples_per_lane = config.samples_per_lane;
        let step = config.start.next();
        let draws =
            [step, step.next()].map(|step| Draws::new(&plan, lanes, step, samples_per_lane));
        Self {
            index: Arc::clone(&config.index),
            plan,
            lanes: lanes.to_vec(),
            streams: streams
                .into_iter()
                .map(|(place, cursor)| Stream::new(place, cursor))
                .collect(),
            samples_per_lane,
            row_bytes: side * side * 3,
            step,
            draws,
            lease: config.lease.clone(),
            channels,
            jobs_out: 0,
        }
    }

    /// Works until the loader is dropped or an error ends it.
    pub(super) fn run(mut self) {
        loop {
            let batch = match self.batch() {
                Ok(batch) => Ok(batch),
                Err(Ended::Failed(error)) => Err(error),
                Err(Ended::Dropped) => return,
            };
            let last = batch.is_err();
            if self.channels.batches.send(batch).is_err() || last {
                return;
            }
            self.step = self.step.next();
            let after = self.step.next();
            let after = Draws::new(&self.plan, &self.lanes, after, self.samples_per_lane);
            self.draws.swap(0, 1);
            self.draws[1] = after;
        }
    }

    /// Waits until every stream has its samples for the step.
    fn batch(&mut self) -> Result<(LocalBatch, BatchTimes), Ended> {
        loop {
            let [draws, _] = &self.draws;
            for (stream, rows) in self.streams.iter_mut().zip(&draws.rows) {
                stream.take(*rows, self.step, &self.index, &self.plan)?;
            }
            self.dispatch()?;
            let mut streams = self.streams.iter().zip(&self.draws[0].rows);
            if streams.all(|(stream, rows)| stream.rows.len() == *rows) {
                return Ok(self.put_together());
            }
            self.wait()?;
        }
    }

    /// Gives samples to the decoders: for this step first, then for the next, never for a step
    /// beyond the lease.
    fn dispatch(&mut self) -> Result<(), Ended> {
        let lease = *self.lease.borrow();
        let steps = lease.0.saturating_add(1).saturating_sub(self.step.0).min(2) as usize;
        for steps in 1..=steps {
            for (slot, stream) in self.streams.iter_mut().enumerate() {
                let target: usize = self.draws[..steps]
                    .iter()
                    .map(|draws| draws.rows[slot])
                    .sum();
                while stream.rows.len() + stream.pending.len() < target
                    && self.jobs_out < self.channels.jobs_at_once
                {
                    let Some((epoch, raw)) = stream.next_raw(&self.plan) else {
                        break;
                    };
                    let sequence = stream.first + stream.pending.len() as u64 - 1;
                    let job = Job {
                        slot,
                        sequence,
                        epoch,
                        raw,
                    };
                    self.channels
                        .jobs
                        .send(job)
                        .map_err(|_| LoaderError::Stopped)?;
                    self.jobs_out += 1;
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), Ended> {
        let event = select! {
            recv(self.channels.stopped) -> _ => return Err(Ended::Dropped),
            recv(self.channels.lease_moves) -> moved => {
                if moved.is_err() {
                    // Nobody moves the lease any more; what it allows is still to be done.
                    self.channels.lease_moves = crossbeam_channel::never();
                }
                return Ok(());
            }
            recv(self.channels.events) -> event => event,
        };
        match event {
            Ok(Event::Window(slot, window)) => {
                self.streams[slot].windows.push_back(window?);
            }
            Ok(Event::Decoded(slot, sequence, outcome, worked)) => {
                self.jobs_out -= 1;
                let stream = &mut self.streams[slot];
                stream.pending[(sequence - stream.first) as usize].outcome =
                    Some((outcome, worked));
            }
            Err(_) => return Err(LoaderError::Stopped.into()),
        }
        Ok(())
    }

    fn put_together(&mut self) -> (LocalBatch, BatchTimes) {
        let mut times = BatchTimes::default();
        let rows = self.samples_per_lane as usize * self.lanes.len();
        let mut batch = LocalBatch {
            step: self.step,
            pixels: Vec::with_capacity(rows * self.row_bytes),
            captions: Vec::with_capacity(rows),
            keys: Vec::with_capacity(rows),
            cursors: self
                .streams
                .iter()
                .map(|stream| (stream.place.stream, stream.cursor))
                .collect(),
            skips: Vec::new(),
            key_hash: 0,
        };
        let sources = self.streams.len() / self.lanes.len();
        let lanes = self.streams.chunks_mut(sources);
        for (streams, draws) in lanes.zip(&self.draws[0].sources) {
            for stream in streams.iter_mut() {
                batch.skips.append(&mut stream.skips);
            }
            let rows = draws
                .iter()
                .filter_map(|source| streams[source.index()].rows.pop_front());
            for row in rows.collect::<Vec<_>>() {
                times.add(row.worked.from, row.worked.took);
                batch.pixels.extend_from_slice(&row.pixels);
                batch.captions.push(row.caption);
                batch.key_hash = batch.key_hash.wrapping_add(row.key.hash());
                batch.keys.push(row.key);
            }
        }
        (batch, times)
    }
}

impl Draws {
    fn new(plan: &Plan, lanes: &[LaneId], step: Step, samples_per_lane: u32) -> Self {
        let (mut sources, mut rows) = (Vec::new(), Vec::new());
        for lane in lanes {
            let drawn: Vec<_> = plan.mix().sources(*lane, step, samples_per_lane).collect();
            let count = |of: SourceId| drawn.iter().filter(|source| **source == of).count();
            rows.extend(plan.streams(*lane).map(|(_, source)| count(source)));
            sources.push(drawn);
        }
        Self { sources, rows }
    }
}

impl Stream {
    fn new(place: Place, cursor: Cursor) -> Self {
        Self {
            place,
            windows: VecDeque::new(),
            first: 0,
            pending: VecDeque::new(),
            rows: VecDeque::new(),
            skips: Vec::new(),
            cursor,
            barren: 0,
        }
    }

    /// The stream's next sample, which is pending from now on.
    fn next_raw(&mut self, plan: &Plan) -> Option<(Epoch, Raw)> {
        loop {
            let window = self.windows.front_mut()?;
            let Some(raw) = window.samples.next() else {
                self.windows.pop_front();
                continue;
            };
            window.passed += 1;
            let epoch = window.epoch;
            let passed = window.passed;
            let order = plan.source(self.place.source);
            let after = order.canonical(self.place.lane, Cursor { epoch, passed });
            if window.samples.len() == 0 {
                // Its memory goes to the next window at once.
                self.windows.pop_front();
            }
            self.pending.push_back(Pending {
                epoch,
                shard: raw.shard,
                after,
                outcome: None,
            });
            return Some((epoch, raw));
        }
    }

    /// Takes decoded samples in the stream's order until the step has its number of good ones.
    fn take(
        &mut self,
        samples: usize,
        step: Step,
        index: &Index,
        plan: &Plan,
    ) -> Result<(), LoaderError> {
        while self.rows.len() < samples
            && self
                .pending
                .front()
                .is_some_and(|pending| pending.outcome.is_some())
        {
            let Some(Pending {
                epoch,
                shard,
                after,
                outcome: Some((outcome, worked)),
            }) = self.pending.pop_front()
            else {
                break;
            };
            self.first += 1;
            self.cursor = after;
            match outcome {
                Outcome::Good {
                    key,
                    pixels,
                    caption,
                } => {
                    self.barren = 0;
                    let key = SampleKey {
                        epoch,
                        lane: self.place.lane,
                        shard,
                        key,
                    };
                    self.rows.push_back(Row {
                        key,
                        pixels,
                        caption,
                        worked,
                    });
                }
                Outcome::Bad {
                    key,
                    reason,
                    detail,
                } => {
                    self.barren += 1;
                    let shard = index.shard(shard).url.clone();
                    let lane = self.place.lane;
                    // A run over twice an epoch's length holds a whole epoch, wherever it began.
                    if self.barren > 2 * plan.source(self.place.source).lane_length(epoch, lane) {
                        let passed = self.barren;
                        return Err(LoaderError::BarrenLane {
                            lane,
                            epoch,
                            passed,
                            key,
                            shard,
                            detail,
                        });
                    }
                    self.skips.push(Skip {
                        step,
                        lane,
                        epoch,
                        shard,
                        key,
                        reason,
                        detail,
                    });
                }
            }
        }
        Ok(())
    }
}
