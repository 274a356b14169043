//! Lanes to windows of raw samples: one task a lane, on one I/O thread.

use super::{LoaderConfig, LoaderError};
use crate::order::{EpochPlan, Plan, Segment, Window};
use crate::shard::StoredShard;
use crate::store::Stores;
use crate::tar::{End, Sample, SampleReader, TarError};
use bytes::Bytes;
use crossbeam_channel::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use twinspan_types::{Cursor, Epoch, Index, LaneId, ShardId, Step};

/// Windows of a lane that are in memory at once, at most.
pub(super) const WINDOWS_AHEAD: u32 = 4;
/// Extensions of pictures, the preferred first.
pub(crate) const PICTURES: [&str; 4] = ["jpg", "png", "jpeg", "webp"];
/// Extension of captions.
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
    /// The shard's readable part ends before it.
    Lost { detail: Arc<str> },
}

/// A window's samples in shuffled order, from the cursor on.
#[derive(Debug)]
pub(super) struct ReadyWindow {
    pub(super) epoch: Epoch,
    /// Samples of the lane's piece that come before the next of `samples`.
    pub(super) passed: u64,
    pub(super) samples: std::vec::IntoIter<Raw>,
    /// The window's part of the lane's memory.
    _memory: OwnedSemaphorePermit,
}

/// What the assembler waits for.
pub(super) enum Event {
    /// A lane's next window.
    Window(usize, Result<ReadyWindow, LoaderError>),
    /// A job is done: the lane, its number in the lane, the outcome.
    Decoded(usize, u64, super::decode::Outcome),
}

/// What the lane tasks share.
pub(super) struct Reader {
    stores: Stores,
    index: Arc<Index>,
    plan: Arc<Plan>,
    /// The latest epochs, so that lanes in the same one share its permutation.
    epochs: Mutex<Vec<Arc<EpochPlan>>>,
    /// Memory for windows of one lane, in KiB.
    lane_kib: u32,
    lease: watch::Receiver<Step>,
}

/// A shard that a lane has read from, for the next window to go on where this one ended.
type OpenShard = Option<(ShardId, SampleReader<StoredShard>)>;

impl Reader {
    pub(super) fn new(config: &LoaderConfig, plan: Arc<Plan>, lane_bytes: u64) -> Self {
        Self {
            stores: Stores::default(),
            index: Arc::clone(&config.index),
            plan,
            epochs: Mutex::default(),
            lane_kib: u32::try_from(lane_bytes >> 10)
                .unwrap_or(u32::MAX)
                .clamp(4, u32::MAX >> 3),
            lease: config.lease.clone(),
        }
    }

    /// Reads every lane from its cursor until `stopped`.
    pub(super) fn spawn(
        self,
        lanes: Vec<(LaneId, Cursor)>,
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
            runtime.block_on(reader.run(lanes, events, lease_moved, stopped));
            runtime.shutdown_timeout(LAST_READ);
        };
        thread.spawn(work).map_err(LoaderError::Thread)
    }

    async fn run(
        self: Arc<Self>,
        lanes: Vec<(LaneId, Cursor)>,
        events: Sender<Event>,
        lease_moved: Sender<()>,
        stopped: oneshot::Receiver<()>,
    ) {
        let mut tasks = JoinSet::new();
        for (slot, (lane, cursor)) in lanes.into_iter().enumerate() {
            let (reader, events) = (Arc::clone(&self), events.clone());
            tasks.spawn(async move {
                if let Err(error) = reader.lane(slot, lane, cursor, &events).await {
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

    /// Reads one lane; returns when nobody listens any more.
    async fn lane(
        &self,
        slot: usize,
        lane: LaneId,
        mut cursor: Cursor,
        events: &Sender<Event>,
    ) -> Result<(), LoaderError> {
        let memory = Arc::new(Semaphore::new(self.lane_kib as usize));
        let mut open = None;
        loop {
            let epoch = self.epoch(cursor.epoch);
            for number in epoch.window_at(cursor.passed)..epoch.windows(lane) {
                let window = epoch.window(lane, number);
                let kib = self.kib(&window);
                let Ok(permit) = Arc::clone(&memory).acquire_many_owned(kib).await else {
                    return Ok(());
                };
                let ready = self.window(&window, cursor, permit, &mut open).await?;
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

    /// One epoch's order, worked out once for all lanes.
    fn epoch(&self, epoch: Epoch) -> Arc<EpochPlan> {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = epochs.iter().find(|known| known.epoch() == epoch) {
            return Arc::clone(known);
        }
        let planned = Arc::new(self.plan.epoch(epoch));
        epochs.push(Arc::clone(&planned));
        if epochs.len() > 2 {
            epochs.remove(0);
        }
        planned
    }

    /// A window's share of the lane's memory. A window that is larger than all of it takes all:
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
        kib.clamp(self.lane_kib.div_ceil(WINDOWS_AHEAD), self.lane_kib)
    }

    /// About how many bytes a segment has in its shard.
    fn bytes(&self, segment: &Segment) -> u64 {
        let shard = self.index.shard(segment.shard);
        shard.bytes / shard.samples.max(1) * segment.count
    }

    async fn window(
        &self,
        window: &Window,
        cursor: Cursor,
        memory: OwnedSemaphorePermit,
        open: &mut OpenShard,
    ) -> Result<ReadyWindow, LoaderError> {
        let mut line = Vec::with_capacity(window.order.len());
        for segment in &window.segments {
            self.segment(*segment, &mut line, open).await?;
        }
        let mut line: Vec<Option<Raw>> = line.into_iter().map(Some).collect();
        let done = usize::try_from(cursor.passed - window.start).unwrap_or(usize::MAX);
        let order = window.order.iter().skip(done);
        let samples: Vec<Raw> = order.filter_map(|at| line[*at as usize].take()).collect();
        Ok(ReadyWindow {
            epoch: cursor.epoch,
            passed: cursor.passed,
            samples: samples.into_iter(),
            _memory: memory,
        })
    }

    /// Appends a segment's samples to the line: exactly as many as the segment counts.
    async fn segment(
        &self,
        segment: Segment,
        line: &mut Vec<Raw>,
        open: &mut OpenShard,
    ) -> Result<(), LoaderError> {
        let entry = self.index.shard(segment.shard);
        let end = segment.first + segment.count;
        let mut reader = match open.take() {
            Some((shard, reader)) if shard == segment.shard && reader.index() == segment.first => {
                reader
            }
            _ => SampleReader::new(StoredShard::open(
                &self.stores,
                entry,
                self.bytes(&segment),
            )?),
        };
        while reader.index() < end {
            let wanted = reader.index() >= segment.first;
            let next = reader
                .next(|extension| wanted && is_member(extension))
                .await;
            let lost = match next {
                Ok(Some(sample)) => {
                    if wanted {
                        line.push(found(segment.shard, sample));
                    }
                    continue;
                }
                Ok(None) if reader.end() == Some(End::Marked) => {
                    return Err(self.count_differs(segment.shard, reader.index()));
                }
                Ok(None) => format!("the shard ends at byte {} without an end mark", entry.bytes),
                Err(TarError::Store(error)) => return Err(error.into()),
                Err(damage) => damage.to_string(),
            };
            let detail: Arc<str> = lost.into();
            let missing = reader.index().max(segment.first)..end;
            line.extend(missing.map(|index| Raw {
                shard: segment.shard,
                index,
                content: Content::Lost {
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
                Err(TarError::Store(error)) => return Err(error.into()),
                Ok(None) | Err(_) if reader.index() == self.index.shard(shard).samples => {
                    return Ok(());
                }
                Ok(None) | Err(_) => return Err(self.count_differs(shard, reader.index())),
            }
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

fn is_member(extension: &str) -> bool {
    extension == CAPTION || PICTURES.contains(&extension)
}

fn found(shard: ShardId, sample: Sample) -> Raw {
    let picture = sample.member(&PICTURES).cloned();
    let caption = sample.member(&[CAPTION]).cloned();
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
