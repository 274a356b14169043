//! Real data, shards written for a test, and loaders over both.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::watch;
use twinspan_data::shard::Memory;
use twinspan_data::tar::SampleReader;
use twinspan_data::{
    Keys, Loader, LoaderConfig, LoaderError, LocalBatch, Order, RunFiles, Tokenizer, build_index,
};
use twinspan_types::config::AugmentationConfig;
use twinspan_types::{Cursor, Index, LaneId, SourceEntry, Step};

/// The repository's real data: 4,208 training pairs, 1,052 test pictures.
pub const EMOJI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/emoji");
/// Longest wait for a batch.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The tokeniser of all tests.
pub static TOKENIZER: LazyLock<Arc<Tokenizer>> =
    LazyLock::new(|| Arc::new(Tokenizer::new(77, 49408).unwrap()));

pub fn url(path: impl AsRef<Path>) -> String {
    format!("file://{}", path.as_ref().display())
}

pub fn wait<F: Future>(future: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(future)
}

pub fn emoji_index() -> Arc<Index> {
    Arc::new(wait(build_index(&[format!("{}/train/", url(EMOJI))])).unwrap())
}

/// A member of a shard under construction.
pub type Member = (String, Vec<u8>);

/// Real members: picture and caption of the first pairs of a training shard.
pub fn real_members(shard: &str, pairs: usize) -> Vec<Member> {
    let bytes = std::fs::read(format!("{EMOJI}/train/{shard}.tar")).unwrap();
    let mut reader = SampleReader::new(Memory(bytes.into()));
    let mut members = Vec::new();
    for _ in 0..pairs {
        let sample = wait(reader.next(|_| true)).unwrap().unwrap();
        for (extension, body) in &sample.members {
            members.push((format!("{}.{extension}", sample.key), body.to_vec()));
        }
    }
    members
}

/// A tar archive of the members.
pub fn tar(members: &[Member]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, body) in members {
        let mut header = [0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
        archive.extend(header);
        archive.extend(body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A folder of shards with the given counts beside them.
pub struct Shards {
    folder: tempfile::TempDir,
    sizes: Vec<(String, u64)>,
}

impl Shards {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            sizes: Vec::new(),
        }
    }

    pub fn add(&mut self, name: &str, samples: u64, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        self.sizes.push((name.to_owned(), samples));
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The shards as one source each, with these weights and places of the captions.
    pub fn mixed(&self, sources: &[(f64, &str)]) -> Arc<Index> {
        let index = self.index();
        let sources = sources.iter().map(|(weight, captions)| SourceEntry {
            shards: 1,
            weight: *weight,
            captions: captions.parse().unwrap(),
        });
        Arc::new(Index {
            sources: sources.collect(),
            shards: index.shards.clone(),
        })
    }

    pub fn index(&self) -> Arc<Index> {
        let sizes: Vec<String> = self
            .sizes
            .iter()
            .map(|(name, count)| format!("{name:?}: {count}"))
            .collect();
        let sizes = format!("{{{}}}", sizes.join(", "));
        std::fs::write(self.path("sizes.json"), sizes).unwrap();
        Arc::new(wait(build_index(&[format!("{}/", url(self.folder.path()))])).unwrap())
    }
}

/// A loader over all lanes, from the beginning, with everything leased.
pub fn config(index: &Arc<Index>, lanes: u32, samples_per_lane: u32) -> LoaderConfig {
    LoaderConfig {
        index: Arc::clone(index),
        order: Order {
            seed: 11,
            lanes,
            shuffle_window: 64,
        },
        lanes: (0..lanes).map(LaneId).collect(),
        lane_group: 1,
        cursors: vec![Cursor::default(); (lanes * index.source_count()) as usize],
        quarantines: Vec::new(),
        cache: None,
        samples_per_lane,
        start: Step(0),
        image_size: 32,
        crop_scale_min: 0.9,
        augmentation: AugmentationConfig::default(),
        tokenizer: Arc::clone(&TOKENIZER),
        decode_threads: 2,
        prefetch_bytes: 64 << 20,
        decode_delay: Duration::ZERO,
        lease: watch::channel(Step(u64::MAX - 1)).1,
    }
}

/// The next batches of a new loader.
pub fn batches(config: LoaderConfig, count: usize) -> Result<Vec<LocalBatch>, LoaderError> {
    let mut loader = Loader::start(config)?;
    (0..count).map(|_| loader.next_batch(PATIENCE)).collect()
}

/// The next batches of a new loader, and what a run of them would have written down.
pub fn written(config: LoaderConfig, steps: usize) -> (RunFiles, Keys, Vec<LocalBatch>) {
    let mut files = RunFiles {
        index: Index::clone(&config.index),
        order: config.order,
        samples_per_lane: config.samples_per_lane,
        quarantines: Vec::new(),
        steps: Vec::new(),
        skips: Vec::new(),
        checkpoints: Vec::new(),
    };
    let batches = batches(config, steps).unwrap();
    for batch in &batches {
        let cursors = batch.cursors.iter().map(|(_, cursor)| *cursor);
        files.steps.push((batch.step, batch.key_hash));
        files.skips.extend(batch.skips.clone());
        files.checkpoints.push((batch.step, cursors.collect()));
    }
    let keys = wait(Keys::read(&files, || {})).unwrap();
    (files, keys, batches)
}
