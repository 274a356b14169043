//! Batches of one rank: lanes read ahead, decoded by a pool of threads, put together in order.
//!
//! ```text
//! lane tasks (one I/O thread) -- windows --> assembler -- jobs --> decoders
//!                                                ^---- outcomes ------'
//!                                                '---- batches ----> next_batch
//! ```
//! What a batch holds depends on the plan, the cursors and the shards' bytes alone, never on which
//! thread was first.

mod assemble;
mod decode;
mod read;

pub(crate) use read::{CAPTION, PICTURES};

use crate::cache::ShardCache;
use crate::order::{Order, Plan};
use crate::random::first_word;
use crate::store::StoreError;
use crate::text::Tokenizer;
use assemble::Assembler;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use twinspan_types::config::AugmentationConfig;
use twinspan_types::{
    Cursor, Epoch, Index, IndexError, LaneId, Quarantine, ShardId, Skip, SourceId, Step, StreamId,
};

/// Batches that wait for the training thread at most.
const MOST_BATCHES_AHEAD: u64 = 8;

/// What a loader reads, and how.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// The run's shards.
    pub index: Arc<Index>,
    /// Seed, lanes and window of the whole run.
    pub order: Order,
    /// The lanes that this rank reads: whole groups.
    pub lanes: Vec<LaneId>,
    /// Lanes that are dealt together.
    pub lane_group: u32,
    /// Every stream's position, by stream, this rank's or not.
    pub cursors: Vec<Cursor>,
    /// Shards that are passed over, and from where on.
    pub quarantines: Vec<Quarantine>,
    /// Good samples that a lane gives to each step.
    pub samples_per_lane: u32,
    /// The last committed step: the first batch is the next step's.
    pub start: Step,
    /// Pixels of a picture's side.
    pub image_size: u32,
    /// Smallest share of the picture that the random crop keeps.
    pub crop_scale_min: f64,
    /// Changes of colour after the crop.
    pub augmentation: AugmentationConfig,
    /// The model's tokeniser.
    pub tokenizer: Arc<Tokenizer>,
    /// Threads that decode; 0 counts as 1.
    pub decode_threads: usize,
    /// Memory for what is read ahead.
    pub prefetch_bytes: u64,
    /// Where blocks of shards are kept.
    pub cache: Option<Arc<ShardCache>>,
    /// The highest step that may be read for.
    pub lease: watch::Receiver<Step>,
    /// Time that each sample's decoding takes longer than it must: how tests make a rank slow.
    pub decode_delay: Duration,
}

/// One rank's samples of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalBatch {
    /// The step that they are for.
    pub step: Step,
    /// `rows x image_size x image_size x 3`, red, green, blue; rows in the order of the lanes, so
    /// lane group by lane group.
    pub pixels: Vec<u8>,
    /// Each row's token ids from start to end, without padding.
    pub captions: Vec<Vec<u32>>,
    /// Each row's sample.
    pub keys: Vec<SampleKey>,
    /// The streams of this rank's lanes, ascending, and their positions after the batch.
    pub cursors: Vec<(StreamId, Cursor)>,
    /// Samples that were passed over, by stream, in the stream's order.
    pub skips: Vec<Skip>,
    /// Sum, with wrapping, of the rows' [`SampleKey::hash`]: the ranks' sums add up to the same
    /// number in every world.
    pub key_hash: u64,
}

/// When the samples of a batch were decoded, by all threads together.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchTimes {
    /// When the first of them was begun.
    pub began: Option<Instant>,
    /// What the threads worked on them, one after the other.
    pub busy: Duration,
}

impl BatchTimes {
    fn add(&mut self, from: Instant, took: Duration) {
        self.began = Some(self.began.map_or(from, |began| began.min(from)));
        self.busy += took;
    }
}

/// Which sample a row is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleKey {
    /// The pass over the dataset.
    pub epoch: Epoch,
    /// The lane that gave it.
    pub lane: LaneId,
    /// Its shard.
    pub shard: ShardId,
    /// Its webdataset key.
    pub key: String,
}

impl SampleKey {
    /// 64 bits of SHA-256 over shard and key: equal for the same sample in any epoch.
    #[must_use]
    pub fn identity(&self) -> u64 {
        first_word("identity", &[u64::from(self.shard.0)], &self.key)
    }

    /// 64 bits of SHA-256 over epoch, shard and key; the lane is left out, as the order of the
    /// samples is.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let numbers = [self.epoch.0, u64::from(self.shard.0)];
        first_word("sample", &numbers, &self.key)
    }
}

/// Why there is no batch.
#[derive(Debug, thiserror::Error)]
pub enum LoaderError {
    /// The index and the lanes do not fit.
    #[error(transparent)]
    Order(#[from] IndexError),
    /// What the loader was asked to read makes no sense.
    #[error("a loader cannot be started: {0}")]
    BadRequest(String),
    /// The store is out, or refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// One shard cannot be read while the store serves others.
    #[error("{source}")]
    Unreadable {
        /// The shard.
        shard: ShardId,
        /// Why.
        source: StoreError,
    },
    /// The index is wrong about a shard.
    #[error(
        "{url} holds {found} samples and the index says {indexed}: correct the count (sizes.json \
         or _stats.json) and start another run"
    )]
    CountDiffers {
        /// The shard.
        url: String,
        /// The index's count.
        indexed: u64,
        /// Samples in the shard.
        found: u64,
    },
    /// Nothing that a lane holds can be used.
    #[error(
        "lane {lane} holds no usable sample: it passed over {passed} in a row up to epoch {epoch}, \
         the last {key} of {shard} ({detail}): repair or replace the shards"
    )]
    BarrenLane {
        /// The lane.
        lane: LaneId,
        /// The epoch it has come to.
        epoch: Epoch,
        /// Samples passed over in a row.
        passed: u64,
        /// The last of them.
        key: String,
        /// Its shard.
        shard: String,
        /// Why it cannot be used.
        detail: String,
    },
    /// The batch is not there yet; asking again goes on waiting.
    #[error("no batch for step {step} within {} s: waiting for {what}", waited.as_secs_f64())]
    TimedOut {
        /// The step.
        step: Step,
        /// How long was waited.
        waited: Duration,
        /// What the loader lacks.
        what: &'static str,
    },
    /// The system gave no thread.
    #[error("a loader's thread cannot be started: {0}: raise the limit of processes")]
    Thread(std::io::Error),
    /// An earlier error ended it.
    #[error("the loader has stopped after an error")]
    Stopped,
}

/// Reads ahead from the moment it is started until it is dropped.
#[derive(Debug)]
pub struct Loader {
    batches: Option<Receiver<Result<(LocalBatch, BatchTimes), LoaderError>>>,
    times: BatchTimes,
    next: Step,
    lease: watch::Receiver<Step>,
    /// Dropping it stops the assembler.
    stop: Option<Sender<()>>,
    /// Dropping it stops the lanes.
    stop_reading: Option<tokio::sync::oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Loader {
    /// Starts reading the lanes from their cursors.
    ///
    /// # Errors
    /// When the lanes, groups or cursors do not fit the run, or the system gives no threads.
    pub fn start(config: LoaderConfig) -> Result<Self, LoaderError> {
        let plan = Plan::new(&config.index, config.order)?;
        let lanes = checked_lanes(&config)?;
        let streams: Vec<Place> = lanes
            .iter()
            .flat_map(|lane| {
                let places = plan.streams(*lane);
                places.map(|(stream, source)| Place {
                    lane: *lane,
                    source,
                    stream,
                })
            })
            .collect();
        let cursors = streams.iter().map(|place| {
            let cursor = config.cursors[place.stream.index()];
            plan.source(place.source).canonical(place.lane, cursor)
        });
        let positions: Vec<(Place, Cursor)> = streams.iter().copied().zip(cursors).collect();
        let plan = Arc::new(plan);
        let decoders = config.decode_threads.max(1);
        let budget = Budget::new(&config, lanes.len(), streams.len());

        // Made before the channels, so that, when a thread cannot be started, it is dropped after
        // them: it waits for threads that end when their channels do.
        let mut loader = Self {
            batches: None,
            times: BatchTimes::default(),
            next: config.start.next(),
            lease: config.lease.clone(),
            stop: None,
            stop_reading: None,
            threads: Vec::new(),
        };
        // Every sender knows that its message fits: windows and jobs are counted before they are
        // made, so that no thread ever waits on a channel while another waits on it.
        let jobs_at_once = 4 * decoders + 16;
        let windows_at_once = read::WINDOWS_AHEAD as usize * streams.len();
        let (events, event_queue) = bounded(jobs_at_once + windows_at_once + 1);
        let (jobs, job_queue) = bounded(jobs_at_once);
        let (batches, batch_queue) = bounded(budget.batches_ahead);
        let (stop, stopped) = bounded(0);
        let (stop_reading, stopped_reading) = tokio::sync::oneshot::channel();
        let (lease_moved, lease_moves) = bounded(1);

        loader.batches = Some(batch_queue);
        loader.stop = Some(stop);
        loader.stop_reading = Some(stop_reading);
        let reader = read::Reader::new(&config, Arc::clone(&plan), budget.stream_bytes);
        loader.threads.push(reader.spawn(
            positions.clone(),
            events.clone(),
            lease_moved,
            stopped_reading,
        )?);
        for number in 0..decoders {
            let decoder = decode::Decoder::new(&config);
            let (jobs, outcomes) = (job_queue.clone(), events.clone());
            loader.spawn(&format!("decode-{number}"), move || {
                decoder.run(&jobs, &outcomes)
            })?;
        }
        let channels = assemble::Channels {
            events: event_queue,
            lease_moves,
            stopped,
            jobs,
            jobs_at_once,
            batches,
        };
        let assembler = Assembler::new(&config, plan, &lanes, positions, channels);
        loader.spawn("assemble", move || assembler.run())?;
        Ok(loader)
    }

    /// The next step's batch. Batches come step by step, each once.
    ///
    /// # Errors
    /// [`LoaderError::TimedOut`] when it is not there yet, and asking again is fine; any other
    /// error ends the loader.
    pub fn next_batch(&mut self, timeout: Duration) -> Result<LocalBatch, LoaderError> {
        let Some(batches) = &self.batches else {
            return Err(LoaderError::Stopped);
        };
        match batches.recv_timeout(timeout) {
            Ok(Ok((batch, times))) => {
                self.times = times;
                self.next = batch.step.next();
                Ok(batch)
            }
            Ok(Err(error)) => Err(error),
            Err(RecvTimeoutError::Disconnected) => Err(LoaderError::Stopped),
            Err(RecvTimeoutError::Timeout) => {
                let leased = *self.lease.borrow() >= self.next;
                let what = if leased { "samples" } else { "a lease" };
                Err(LoaderError::TimedOut {
                    step: self.next,
                    waited: timeout,
                    what,
                })
            }
        }
    }

    /// When the samples of the last batch were decoded.
    #[must_use]
    pub fn times(&self) -> BatchTimes {
        self.times
    }

    fn spawn(
        &mut self,
        name: &str,
        work: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoaderError> {
        let thread = std::thread::Builder::new().name(format!("data-{name}"));
        self.threads
            .push(thread.spawn(work).map_err(LoaderError::Thread)?);
        Ok(())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        drop((
            self.batches.take(),
            self.stop.take(),
            self.stop_reading.take(),
        ));
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the loader panicked");
            }
        }
    }
}

/// A stream by all its names.
#[derive(Debug, Clone, Copy)]
struct Place {
    lane: LaneId,
    source: SourceId,
    stream: StreamId,
}

/// How `prefetch_bytes` is shared out.
struct Budget {
    batches_ahead: usize,
    stream_bytes: u64,
}

impl Budget {
    /// A quarter for finished batches, but two batches at least, so that decoding overlaps
    /// computing; the rest for windows as they lie in the shards.
    fn new(config: &LoaderConfig, lanes: usize, streams: usize) -> Self {
        let side = u64::from(config.image_size);
        let batch = u64::from(config.samples_per_lane) * lanes as u64 * side * side * 3;
        let affordable = config.prefetch_bytes / 4 / batch.max(1);
        let batches_ahead = affordable.clamp(2, MOST_BATCHES_AHEAD);
        let left = config.prefetch_bytes.saturating_sub(batches_ahead * batch);
        let windows = left.max(config.prefetch_bytes / 2);
        Self {
            batches_ahead: batches_ahead as usize,
            stream_bytes: windows / streams.max(1) as u64,
        }
    }
}

/// This rank's lanes, ascending, once they are known to be whole groups of the run.
fn checked_lanes(config: &LoaderConfig) -> Result<Vec<LaneId>, LoaderError> {
    let refuse = |reason: String| Err(LoaderError::BadRequest(reason));
    let (all, group) = (config.order.lanes, config.lane_group.max(1));
    let mut lanes = config.lanes.clone();
    lanes.sort_unstable();
    let streams = u64::from(all) * u64::from(config.index.source_count());
    if config.cursors.len() as u64 != streams {
        let cursors = config.cursors.len();
        return refuse(format!("{cursors} cursors for {streams} streams"));
    }
    if config.samples_per_lane == 0 || config.image_size == 0 || lanes.is_empty() {
        return refuse("no lanes, no samples, or pictures without pixels".to_owned());
    }
    let whole = lanes.chunks(group as usize).all(|chunk| {
        let first = chunk[0].0;
        first % group == 0 && (first..first.saturating_add(group)).eq(chunk.iter().map(|l| l.0))
    });
    if !whole || lanes.last().is_some_and(|lane| lane.0 >= all) {
        return refuse(format!(
            "lanes {lanes:?} are not whole groups of {group} out of {all}"
        ));
    }
    Ok(lanes)
}
