//! Where a generation's batches come from, and what is done when they do not.

use crate::TrainState;
use crate::WorkerError;
use crate::step::LocalSamples;
use crate::storage::OUTAGE;
use crate::train::{Loop, Run};
use crate::upload::COMMIT_TIMEOUT;
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinspan_data::{Loader, LoaderConfig, LoaderError, LocalBatch, Order, SampleKey, StoreError};
use twinspan_session::Session;
use twinspan_types::{Quarantine, Rank, ShardEntry, ShardId, World};

/// Longest wait for samples before a look whether the run has ended.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

impl Loop<'_> {
    /// Waits for the step's batch in slices, so that the end of the run ends the wait.
    pub(crate) fn next_batch(&mut self, state: &TrainState) -> Result<LocalBatch, WorkerError> {
        let mut begun = Instant::now();
        let mut told = Duration::ZERO;
        loop {
            let (step, what) = match self.loader.next_batch(LISTEN_EVERY) {
                Err(LoaderError::TimedOut { step, what, .. }) => (step, what),
                Err(LoaderError::Unreadable { shard, source }) => {
                    self.give_up(shard, &source, state)?;
                    begun = Instant::now();
                    continue;
                }
                Err(LoaderError::Store(error)) if error.may_pass() && begun.elapsed() < OUTAGE => {
                    tracing::warn!("{error}; waiting for the store, for up to {OUTAGE:?}");
                    self.session.check()?;
                    self.read_again(state)?;
                    continue;
                }
                batch => return Ok(batch?),
            };
            self.session.check()?;
            let waited = begun.elapsed();
            if waited > OUTAGE {
                return Err(LoaderError::TimedOut { step, waited, what }.into());
            }
            if waited > told + self.config.cluster.step_timeout {
                told = waited;
                tracing::warn!("step {step} has waited {} s for {what}", waited.as_secs());
            }
        }
    }

    /// Reads on from the committed positions.
    fn read_again(&mut self, state: &TrainState) -> Result<(), WorkerError> {
        self.loading.cursors.clone_from(&state.cursors);
        self.loading.start = state.step;
        self.loader = Loader::start(self.loading.clone())?;
        Ok(())
    }

    /// Has a shard passed over from the committed positions on, and reads on from there.
    fn give_up(
        &mut self,
        shard: ShardId,
        reason: &StoreError,
        state: &TrainState,
    ) -> Result<(), WorkerError> {
        let index = &self.loading.index;
        let source = index.source_of(shard);
        let streams = self
            .loading
            .lanes
            .iter()
            .map(|lane| index.stream(*lane, source));
        let ShardEntry { url, samples, .. } = index.shard(shard).clone();
        let quarantine = Quarantine {
            shard,
            url,
            samples,
            reason: reason.to_string(),
            from: streams
                .map(|stream| (stream, state.cursors[stream.index()]))
                .collect(),
        };
        self.session.quarantine(&quarantine, COMMIT_TIMEOUT)?;
        let Quarantine { url, reason, .. } = &quarantine;
        tracing::warn!(
            "{url} cannot be read and is passed over from step {} on: {reason}",
            state.step.next()
        );
        self.loading.quarantines.push(quarantine);
        self.read_again(state)
    }
}

impl From<LocalBatch> for LocalSamples {
    fn from(batch: LocalBatch) -> Self {
        Self {
            ids: batch.keys.iter().map(SampleKey::identity).collect(),
            draws: batch.keys.iter().map(SampleKey::hash).collect(),
            pixels: batch.pixels,
            captions: batch.captions,
            ends: batch.cursors,
            key_hash: batch.key_hash,
            skips: batch.skips,
        }
    }
}

pub(crate) fn loader_config(
    session: &Session,
    run: &Run,
    world: &World,
    rank: Rank,
    state: &TrainState,
) -> LoaderConfig {
    let Run { config, clip, .. } = run;
    let decode_threads = match config.data.decode_threads {
        0 => run.threads,
        threads => threads as usize,
    };
    LoaderConfig {
        index: Arc::clone(&run.index),
        order: Order {
            seed: config.seed,
            lanes: config.data.lanes,
            shuffle_window: config.data.shuffle_window,
        },
        lanes: world.lanes.lanes_of(rank).collect(),
        lane_group: config.data.lane_group,
        cursors: state.cursors.clone(),
        quarantines: world.quarantines.clone(),
        samples_per_lane: config.samples_per_lane(),
        start: state.step,
        image_size: clip.config.vision.image_size() as u32,
        crop_scale_min: config.data.crop_scale_min,
        augmentation: config.data.augmentation,
        tokenizer: Arc::clone(&run.tokenizer),
        decode_threads,
        cache: run.cache.clone(),
        prefetch_bytes: config.data.prefetch_bytes,
        lease: session.lease(),
        decode_delay: run.decode_delay,
    }
}
