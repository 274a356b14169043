//! Outcomes to batches: each lane's good samples in the lane's order, and what was passed over.

use super::decode::{Job, Outcome};
use super::read::{Event, Raw, ReadyWindow};
use super::{LoaderConfig, LoaderError, LocalBatch, SampleKey};
use crate::order::Plan;
use crossbeam_channel::{Receiver, Sender, select};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::watch;
use twinspan_types::{Cursor, Epoch, Index, LaneId, ShardId, Skip, Step};

/// What the assembler hears and says.
pub(super) struct Channels {
    pub(super) events: Receiver<Event>,
    pub(super) lease_moves: Receiver<()>,
    pub(super) stopped: Receiver<()>,
    pub(super) jobs: Sender<Job>,
    pub(super) jobs_at_once: usize,
    pub(super) batches: Sender<Result<LocalBatch, LoaderError>>,
}

/// Puts batches together, one step after the other.
pub(super) struct Assembler {
    index: Arc<Index>,
    plan: Arc<Plan>,
    lanes: Vec<Lane>,
    samples_per_lane: usize,
    row_bytes: usize,
    step: Step,
    lease: watch::Receiver<Step>,
    channels: Channels,
    jobs_out: usize,
}

/// One lane between its windows and the batch.
struct Lane {
    id: LaneId,
    windows: VecDeque<ReadyWindow>,
    /// The number of the first of `pending`.
    first: u64,
    /// Samples in the lane's order that were given to the decoders and not yet taken.
    pending: VecDeque<Pending>,
    /// Good samples of the step.
    rows: Vec<Row>,
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
    outcome: Option<Outcome>,
}

struct Row {
    key: SampleKey,
    pixels: Vec<u8>,
    caption: Vec<u32>,
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
        lanes: Vec<(LaneId, Cursor)>,
        channels: Channels,
    ) -> Self {
        let side = config.image_size as usize;
        Self {
            index: Arc::clone(&config.index),
            plan,
            lanes: lanes
                .into_iter()
                .map(|(lane, cursor)| Lane::new(lane, cursor))
                .collect(),
            samples_per_lane: config.samples_per_lane as usize,
            row_bytes: side * side * 3,
            step: config.start.next(),
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
        }
    }

    /// Waits until every lane has its samples for the step.
    fn batch(&mut self) -> Result<LocalBatch, Ended> {
        loop {
            for lane in &mut self.lanes {
                lane.take(self.samples_per_lane, self.step, &self.index, &self.plan)?;
            }
            self.dispatch()?;
            if self
                .lanes
                .iter()
                .all(|lane| lane.rows.len() == self.samples_per_lane)
            {
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
        for target in (1..=steps).map(|steps| steps * self.samples_per_lane) {
            for (slot, lane) in self.lanes.iter_mut().enumerate() {
                while lane.rows.len() + lane.pending.len() < target
                    && self.jobs_out < self.channels.jobs_at_once
                {
                    let Some((epoch, raw)) = lane.next_raw(&self.plan) else {
                        break;
                    };
                    let sequence = lane.first + lane.pending.len() as u64 - 1;
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
                self.lanes[slot].windows.push_back(window?);
            }
            Ok(Event::Decoded(slot, sequence, outcome)) => {
                self.jobs_out -= 1;
                let lane = &mut self.lanes[slot];
                lane.pending[(sequence - lane.first) as usize].outcome = Some(outcome);
            }
            Err(_) => return Err(LoaderError::Stopped.into()),
        }
        Ok(())
    }

    fn put_together(&mut self) -> LocalBatch {
        let rows = self.samples_per_lane * self.lanes.len();
        let mut batch = LocalBatch {
            step: self.step,
            pixels: Vec::with_capacity(rows * self.row_bytes),
            captions: Vec::with_capacity(rows),
            keys: Vec::with_capacity(rows),
            cursors: self
                .lanes
                .iter()
                .map(|lane| (lane.id, lane.cursor))
                .collect(),
            skips: Vec::new(),
            key_hash: 0,
        };
        for lane in &mut self.lanes {
            batch.skips.append(&mut lane.skips);
            for row in lane.rows.drain(..) {
                batch.pixels.extend_from_slice(&row.pixels);
                batch.captions.push(row.caption);
                batch.key_hash = batch.key_hash.wrapping_add(row.key.hash());
                batch.keys.push(row.key);
            }
        }
        batch
    }
}

impl Lane {
    fn new(id: LaneId, cursor: Cursor) -> Self {
        Self {
            id,
            windows: VecDeque::new(),
            first: 0,
            pending: VecDeque::new(),
            rows: Vec::new(),
            skips: Vec::new(),
            cursor,
            barren: 0,
        }
    }

    /// The lane's next sample, which is pending from now on.
    fn next_raw(&mut self, plan: &Plan) -> Option<(Epoch, Raw)> {
        loop {
            let window = self.windows.front_mut()?;
            let Some(raw) = window.samples.next() else {
                self.windows.pop_front();
                continue;
            };
            window.passed += 1;
            let epoch = window.epoch;
            let after = plan.canonical(
                self.id,
                Cursor {
                    epoch,
                    passed: window.passed,
                },
            );
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

    /// Takes decoded samples in the lane's order until the step has its number of good ones.
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
                outcome: Some(outcome),
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
                        lane: self.id,
                        shard,
                        key,
                    };
                    self.rows.push(Row {
                        key,
                        pixels,
                        caption,
                    });
                }
                Outcome::Bad {
                    key,
                    reason,
                    detail,
                } => {
                    self.barren += 1;
                    let shard = index.shard(shard).url.clone();
                    // A run over twice an epoch's length holds a whole epoch, wherever it began.
                    if self.barren > 2 * plan.lane_length(epoch, self.id) {
                        let (lane, passed) = (self.id, self.barren);
                        return Err(LoaderError::BarrenLane {
                            lane,
                            epoch,
                            passed,
                            key,
                            shard,
                            detail,
                        });
                    }
                    let lane = self.id;
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
