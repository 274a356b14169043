//! Streams to windows of raw samples: one task a stream, on one I/O thread.

use super::{LoaderConfig, LoaderError, Place};
use crate::cache::ShardCache;
use crate::order::{EpochPlan, Plan, Segment, Window};
use crate::shard::StoredShard;
use crate::store::{StoreError, Stores};
use crate::tar::{End, Sample, SampleReader, TarError};
use bytes::Bytes;
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use twinspan_types::{
    Cursor, Epoch, Index, Quarantine, ShardId, SkipReason, SourceId, Step, StreamId,
};

/// Windows of a stream that are in memory at once, at most.
pub(super) const WINDOWS_AHEAD: u32 = 4;
/// Extensions of pictures, the preferred first.
pub(crate) const PICTURES: [&str; 4] = ["jpg", "png", "jpeg", "webp"];
/// Extension of captions where nothing else is said.
pub(crate) const CAPTION: &str = "txt";
/// Longest wait, when the loader is dropped, for a read that is under way.
const LAST_READ: Duration = Duration::from_secs(5);

/// A sample as it lies in its shard.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) shard: ShardId,
    pub(super) index: u64,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Found {
        key: String,
        picture: Option<Bytes>,
        caption: Option<Bytes>,
    },
    /// It is not to be had.
    Lost {
        reason: SkipReason,
        detail: Arc<str>,
    },
}

/// A window's samples in shuffled order, from the cursor on.
#[derive(Debug)]
pub(super) struct ReadyWindow {
    pub(super) epoch: Epoch,
    /// Samples of the stream's piece that come before the next of `samples`.
    pub(super) passed: u64,
    pub(super) samples: std::vec::IntoIter<Raw>,
    /// The window's part of the stream's memory.
    _memory: OwnedSemaphorePermit,
}

/// What the assembler waits for.
pub(super) enum Event {
    /// A stream's next window.
    Window(usize, Result<ReadyWindow, LoaderError>),
    /// A job is done: the stream, its number in the stream, the outcome.
    Decoded(usize, u64, super::decode::Outcome, super::decode::Worked),
}

/// What the streams' tasks share.
pub(super) struct Reader {
    stores: Stores,
    index: Arc<Index>,
    plan: Arc<Plan>,
    cache: Option<Arc<ShardCache>>,
    quarantines: Vec<Quarantine>,
    /// The epochs that some stream is in, so that streams in the same one share its permutation.
    epochs: Mutex<Vec<(SourceId, Arc<EpochPlan>)>>,
    /// Memory for windows of one stream, in KiB.
    stream_kib: u32,
    lease: watch::Receiver<Step>,
}

/// A shard that a stream has read from, for the next window to go on where this one ended.
type OpenShard = Option<(ShardId, SampleReader<StoredShard>)>;

impl Reader {
    pub(super) fn new(config: &LoaderConfig, plan: Arc<Plan>, stream_bytes: u64) -> Self {
        Self {
            stores: Stores::default(),
            index: Arc::clone(&config.index),
            plan,
            cache: config.cache.clone(),
            quarantines: config.quarantines.clone(),
            epochs: Mutex::default(),
            stream_kib: u32::try_from(stream_bytes >> 10)
                .unwrap_or(u32::MAX)
                .clamp(4, u32::MAX >> 3),
            lease: config.lease.clone(),
        }
    }

    /// Reads every stream from its cursor until `stopped`.
    pub(super) fn spawn(
        self,
        streams: Vec<(Place, Cursor)>,
        events: Sender<Event>,
        lease_moved: Sender<()>,
        stopped: oneshot::Receiver<()>,
    ) -> Result<JoinHandle<()>, LoaderError> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().max_blocking_threads(8).build();
        let runtime = runtime.map_err(LoaderError::Thread)?;
        let thread = std::thread::Builder::new().name("data-read".to_owned());
        let reader = Arc::new(self);
        let work = move || {
            runtime.block_on(reader.run(streams, events, lease_moved, stopped));
            runtime.shutdown_timeout(LAST_READ);
        };
        thread.spawn(work).map_err(LoaderError::Thread)
    }

    async fn run(
        self: Arc<Self>,
        streams: Vec<(Place, Cursor)>,
        events: Sender<Event>,
        lease_moved: Sender<()>,
        stopped: oneshot::Receiver<()>,
    ) {
        let mut tasks = JoinSet::new();
        for (slot, (place, cursor)) in streams.into_iter().enumerate() {
            let (reader, events) = (Arc::clone(&self), events.clone());
            tasks.spawn(async move {
                if let Err(error) = reader.stream(slot, place, cursor, &events).await {
                    let _ = events.send(Event::Window(slot, Err(error)));
                }
            });
        }
        let mut lease = self.lease.clone();
        tasks.spawn(async move {
            while lease.changed().await.is_ok() {
                // A full channel already holds the same news.
                let _ = lease_moved.try_send(());
            }
        });
        let panicked = async {
            while let Some(ended) = tasks.join_next().await {
                if ended.is_err() {
                    let _ = events.send(Event::Window(0, Err(LoaderError::Stopped)));
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = stopped => {}
            () = panicked => {}
        }
        tasks.shutdown().await;
    }

    /// Reads one stream; returns when nobody listens any more.
    async fn stream(
        &self,
        slot: usize,
        place: Place,
        mut cursor: Cursor,
        events: &Sender<Event>,
    ) -> Result<(), LoaderError> {
        let memory = Arc::new(Semaphore::new(self.stream_kib as usize));
        let mut open = None;
        loop {
            let epoch = self.epoch(place.source, cursor.epoch);
            for number in epoch.window_at(cursor.passed)..epoch.windows(place.lane) {
                let window = epoch.window(place.lane, number);
                let kib = self.kib(&window);
                let Ok(permit) = Arc::clone(&memory).acquire_many_owned(kib).await else {
                    return Ok(());
                };
                let samples = self
                    .window(place.stream, &window, cursor, &mut open)
                    .await?;
                let ready = ReadyWindow {
                    epoch: cursor.epoch,
                    passed: cursor.passed,
                    samples: samples.into_iter(),
                    _memory: permit,
                };
                cursor.passed = window.start + window.order.len() as u64;
                if events.send(Event::Window(slot, Ok(ready))).is_err() {
                    return Ok(());
                }
            }
            cursor = Cursor {
                epoch: cursor.epoch.next(),
                passed: 0,
            };
        }
    }

    /// One epoch's order, worked out once for all streams that are in it.
    fn epoch(&self, source: SourceId, epoch: Epoch) -> Arc<EpochPlan> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it =
            |(of, known): &&(SourceId, Arc<EpochPlan>)| *of == source && known.epoch() == epoch;
        if let Some((_, known)) = epochs.iter().find(is_it) {
            return Arc::clone(known);
        }
        epochs.retain(|(_, known)| Arc::strong_count(known) > 1);
        let planned = Arc::new(self.plan.source(source).epoch(epoch));
        epochs.push((source, Arc::clone(&planned)));
        planned
    }

    /// A window's share of the stream's memory. A window that is larger than all of it takes all:
    /// it is read when the one before it is used up.
    fn kib(&self, window: &Window) -> u32 {
        let bytes: u64 = window
            .segments
            .iter()
            .map(|segment| self.bytes(segment))
            .sum();
        let kib = u32::try_from(bytes >> 10)
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        kib.clamp(self.stream_kib.div_ceil(WINDOWS_AHEAD), self.stream_kib)
    }

    /// About how many bytes a segment has in its shard.
    fn bytes(&self, segment: &Segment) -> u64 {
        let shard = self.index.shard(segment.shard);
        shard.bytes / shard.samples.max(1) * segment.count
    }

    /// The window's samples in shuffled order, from the cursor on. A shard of which none of these
    /// is wanted, because it is quarantined or was passed, is not read.
    async fn window(
        &self,
        stream: StreamId,
        window: &Window,
        cursor: Cursor,
        open: &mut OpenShard,
    ) -> Result<Vec<Raw>, LoaderError> {
        let done = usize::try_from(cursor.passed - window.start).unwrap_or(usize::MAX);
        let lost: Vec<Option<u64>> = window
            .segments
            .iter()
            .map(|segment| self.lost_from(stream, segment.shard, cursor.epoch))
            .collect();
        let segments = segments_of_lines(window);
        let mut wanted = vec![false; window.segments.len()];
        let is_lost = |segment: usize, at: usize| {
            lost[segment].is_some_and(|from| window.start + at as u64 >= from)
        };
        for (at, line) in window.order.iter().enumerate().skip(done) {
            let segment = segments[*line as usize] as usize;
            wanted[segment] |= !is_lost(segment, at);
        }
        let mut line = Vec::with_capacity(window.order.len());
        for (segment, wanted) in window.segments.iter().zip(wanted) {
            match wanted {
                true => self.segment(*segment, &mut line, open).await?,
                false => line.extend(quarantined(*segment)),
            }
        }
        let mut line: Vec<Option<Raw>> = line.into_iter().map(Some).collect();
        let order = window.order.iter().enumerate().skip(done);
        let samples = order.filter_map(|(at, place)| {
            let mut raw = line[*place as usize].take()?;
            if is_lost(segments[*place as usize] as usize, at) {
                raw.content = Content::given_up();
            }
            Some(raw)
        });
        Ok(samples.collect())
    }

    /// The position in an epoch's piece of a stream from which on a shard is passed over.
    fn lost_from(&self, stream: StreamId, shard: ShardId, epoch: Epoch) -> Option<u64> {
        let of_shard = self.quarantines.iter().filter(|one| one.shard == shard);
        let of_stream = of_shard.flat_map(|one| one.from.iter().filter(|(of, _)| *of == stream));
        let in_epoch = of_stream.filter_map(|(_, from)| match from.epoch.cmp(&epoch) {
            std::cmp::Ordering::Less => Some(0),
            std::cmp::Ordering::Equal => Some(from.passed),
            std::cmp::Ordering::Greater => None,
        });
        in_epoch.min()
    }

    /// Appends a segment's samples to the line: exactly as many as the segment counts.
    async fn segment(
        &self,
        segment: Segment,
        line: &mut Vec<Raw>,
        open: &mut OpenShard,
    ) -> Result<(), LoaderError> {
        let entry = self.index.shard(segment.shard);
        let captions = self.index.captions(segment.shard).extension();
        let end = segment.first + segment.count;
        let mut reader = match open.take() {
            Some((shard, reader)) if shard == segment.shard && reader.index() == segment.first => {
                reader
            }
            _ => {
                let shard = StoredShard::open(&self.stores, entry, self.bytes(&segment))?;
                SampleReader::new(shard.cached(self.cache.clone()))
            }
        };
        while reader.index() < end {
            let wanted = reader.index() >= segment.first;
            let next = reader
                .next(|extension| {
                    wanted && (extension == captions || PICTURES.contains(&extension))
                })
                .await;
            let lost = match next {
                Ok(Some(sample)) => {
                    if wanted {
                        line.push(found(segment.shard, captions, sample));
                    }
                    continue;
                }
                Ok(None) if reader.end() == Some(End::Marked) => {
                    return Err(self.count_differs(segment.shard, reader.index()));
                }
                Ok(None) => format!("the shard ends at byte {} without an end mark", entry.bytes),
                Err(TarError::Store(error)) => return Err(self.blame(segment.shard, error).await),
                Err(damage) => damage.to_string(),
            };
            let detail: Arc<str> = lost.into();
            let missing = reader.index().max(segment.first)..end;
            line.extend(missing.map(|index| Raw {
                shard: segment.shard,
                index,
                content: Content::Lost {
                    reason: SkipReason::TruncatedShard,
                    detail: Arc::clone(&detail),
                },
            }));
            return Ok(());
        }
        if end == entry.samples {
            return self.check_end(segment.shard, reader).await;
        }
        *open = Some((segment.shard, reader));
        Ok(())
    }

    /// Whoever reads a shard's last counted sample sees to it that there are no more.
    async fn check_end(
        &self,
        shard: ShardId,
        mut reader: SampleReader<StoredShard>,
    ) -> Result<(), LoaderError> {
        loop {
            match reader.next(|_| false).await {
                Ok(Some(_)) => {}
                Err(TarError::Store(error)) => return Err(self.blame(shard, error).await),
                Ok(None) | Err(_) if reader.index() == self.index.shard(shard).samples => {
                    return Ok(());
                }
                Ok(None) | Err(_) => return Err(self.count_differs(shard, reader.index())),
            }
        }
    }

    /// Whether the shard is at fault or the store: one that serves another shard is not out.
    async fn blame(&self, shard: ShardId, error: StoreError) -> LoaderError {
        let of_shard = match &error {
            StoreError::Missing { .. } | StoreError::Changed { .. } => true,
            StoreError::Failed { .. } | StoreError::Stalled { .. } => {
                self.serves_others(shard).await
            }
            _ => false,
        };
        match of_shard {
            true => LoaderError::Unreadable {
                shard,
                source: error,
            },
            false => error.into(),
        }
    }

    async fn serves_others(&self, shard: ShardId) -> bool {
        let places = self.index.shards.iter().enumerate();
        let mut others = places.filter(|(at, _)| *at != shard.index());
        match others.next() {
            Some((_, other)) => self.stores.head(&other.url).await.is_ok(),
            None => false,
        }
    }

    fn count_differs(&self, shard: ShardId, found: u64) -> LoaderError {
        let entry = self.index.shard(shard);
        LoaderError::CountDiffers {
            url: entry.url.clone(),
            indexed: entry.samples,
            found,
        }
    }
}

/// Which of a window's segments gives each line.
fn segments_of_lines(window: &Window) -> Vec<u32> {
    let segments = (0_u32..).zip(&window.segments);
    let lines = segments.flat_map(|(at, segment)| {
        std::iter::repeat_n(at, usize::try_from(segment.count).unwrap_or(usize::MAX))
    });
    lines.collect()
}

/// The samples of a segment that is not read.
fn quarantined(segment: Segment) -> impl Iterator<Item = Raw> {
    (segment.first..segment.first + segment.count).map(move |index| Raw {
        shard: segment.shard,
        index,
        content: Content::given_up(),
    })
}

impl Content {
    /// That of a quarantined shard's sample.
    fn given_up() -> Self {
        Self::Lost {
            reason: SkipReason::QuarantinedShard,
            detail: "its shard cannot be read any more".into(),
        }
    }
}

fn found(shard: ShardId, captions: &str, sample: Sample) -> Raw {
    let picture = sample.member(&PICTURES).cloned();
    let caption = sample.member(&[captions]).cloned();
    Raw {
        shard,
        index: sample.index,
        content: Content::Found {
            key: sample.key,
            picture,
            caption,
        },
    }
}
