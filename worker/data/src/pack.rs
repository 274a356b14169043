//! Making shards of pictures and captions: webdataset tars with their counts beside them.
//!
//! The input is gone through twice. The first time everything is checked and nothing is written;
//! the second time shards are written, of which one is in memory.

mod archive;
mod check;
mod error;
mod folder;
mod input;
mod keys;
mod pair;
mod table;
mod writer;

pub(crate) use archive::Archive;
pub use error::PackError;
pub(crate) use folder::pictures_below;
pub use keys::Keys;
pub use pair::Bad;
pub use table::Columns;

use crate::index::OnProgress;
use crate::store::{Directory, Object, Stores};
use input::Input;
use serde::Serialize;
use std::num::NonZeroU64;
use std::path::PathBuf;
use writer::Writer;

/// Pictures that are in memory at once, beside the shard.
const BATCH: usize = 64;
/// What counts the shards' samples.
pub(crate) const SIZES: &str = "sizes.json";

/// What to make shards of, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// A folder of pictures with captions beside them, or a `.csv` or `.parquet` table.
    pub input: PathBuf,
    /// The table's columns.
    pub columns: Columns,
    /// URL of the folder that the shards are written to.
    pub out: String,
    /// Samples in a shard.
    pub shard_samples: NonZeroU64,
    /// Whether shards that lie there are replaced.
    pub overwrite: bool,
    /// Whether samples that cannot be used are left out; else they are an error.
    pub skip_bad: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// Shards.
    pub shards: u64,
    /// Samples in them.
    pub samples: u64,
    /// Bytes of the shards.
    pub bytes: u64,
    /// What the keys are.
    pub keys: Keys,
    /// Samples that were left out.
    pub left_out: u64,
    /// The first of them, and why.
    pub left_out_first: Vec<Bad>,
    /// Files of the folder that are neither a picture nor the caption of one.
    pub other_files: u64,
}

/// Makes shards. `on_check` and `on_write` hear of samples, of the two passes in turn.
///
/// # Errors
/// When the input cannot be read, samples of it cannot be used, shards lie there already, or the
/// store fails: only in the last case something may have been written, and that is whole shards.
pub async fn pack(
    request: &Request,
    on_check: OnProgress<'_>,
    on_write: OnProgress<'_>,
) -> Result<Packed, PackError> {
    let stores = Stores::default();
    let prefix = format!("{}/", request.out.trim_end_matches('/'));
    let directory = Directory::open(&stores, &prefix).map_err(PackError::Out)?;
    let present = present(&stores, &prefix).await?;
    if !request.overwrite && !present.is_empty() {
        return Err(PackError::Occupied {
            out: prefix,
            present,
        });
    }
    let input = Input::open(&request.input, &request.columns)?;
    let checked = check::check(&input, on_check)?;
    if checked.usable() == 0 || !(request.skip_bad || checked.bad.is_empty()) {
        return Err(PackError::Unusable {
            input: request.input.clone(),
            count: checked.bad.len() as u64,
            first: checked.first_bad,
        });
    }
    let shards = checked.usable().div_ceil(request.shard_samples.get());
    let mut writer = Writer::new(directory, shards);
    // A count must never be that of another shard, so the old counts go first and the new ones
    // come last.
    if present.iter().any(|name| name == SIZES) {
        writer.remove(SIZES).await?;
    }
    writer.shards(&input, &checked, request, on_write).await?;
    for stale in present.iter().filter(|name| is_numbered(name)) {
        if !writer.sizes.contains_key(stale) {
            writer.remove(stale).await?;
        }
    }
    writer.counts().await?;
    Ok(Packed {
        shards: writer.sizes.len() as u64,
        samples: writer.sizes.values().sum(),
        bytes: writer.bytes,
        keys: checked.keys,
        left_out: checked.bad.len() as u64,
        left_out_first: checked.first_bad,
        other_files: input.other_files(),
    })
}

/// Shards, and counts of shards, below a prefix, by their names from it; by their URLs where a
/// store spells the prefix in another way.
async fn present(stores: &Stores, prefix: &str) -> Result<Vec<String>, PackError> {
    let objects = stores.list(prefix).await.map_err(PackError::Out)?;
    let name = |object: Object| match object.url.strip_prefix(prefix) {
        Some(name) => name.to_owned(),
        None => object.url,
    };
    let mut names: Vec<String> = objects.into_iter().map(name).collect();
    names.retain(|name| name == SIZES || name.ends_with(".tar"));
    Ok(names)
}

/// Whether a shard's name is one that packing gives.
fn is_numbered(name: &str) -> bool {
    let stem = name.strip_suffix(".tar").unwrap_or_default();
    stem.len() >= 5 && stem.bytes().all(|byte| byte.is_ascii_digit())
}
