//! Shards to batches: index, data order, tar, decode, tokenise, prefetch, evaluation sets.
//!
//! The coordinator indexes shards with it and workers read them with it; nothing here knows of
//! either.

pub mod audit;
mod cache;
pub mod dataset;
pub mod holdout;
pub mod image;
pub mod index;
pub mod inspect;
pub mod loader;
pub mod order;
pub mod pack;
mod pictures;
mod random;
pub mod shard;
pub mod store;
pub mod tar;
pub mod text;
pub mod vectors;

pub use audit::{AuditReport, Fault, Keys, RunFiles, audit};
pub use cache::{CacheError, ShardCache};
pub use dataset::{
    EvalError, EvalSample, EvalSet, Share, Wording, read_captioned, read_classification,
    read_classification_worded, read_labelled,
};
pub use index::{Counting, IndexBuildError, OnProgress, build_index, index_sources, survey};
pub use loader::{BatchTimes, Loader, LoaderConfig, LoaderError, LocalBatch, SampleKey};
pub use order::{EpochPlan, Mix, Order, Plan, SampleId, Segment, SourcePlan, Window};
pub use pictures::{PassedOver, PictureReader, Pictures, PicturesError, Square};
pub use store::{Directory, StoreError, Stores};
pub use text::{TextError, Tokenizer};
