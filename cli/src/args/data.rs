//! `twinspan data`.

use clap::{Args, Subcommand};
use std::num::NonZeroU64;
use std::path::PathBuf;

/// `twinspan data`.
#[derive(Args)]
pub struct DataArgs {
    /// What to do with shards.
    #[command(subcommand)]
    pub task: DataTask,
}

/// What `twinspan data` can do.
#[derive(Subcommand)]
pub enum DataTask {
    /// Prove from a run's files that no sample is missing or double
    Audit(AuditArgs),
    /// Count shards, their samples and bytes, and write an index
    Index(IndexArgs),
    /// Look at samples: sizes of pictures, lengths of captions, what cannot be used
    Inspect(InspectArgs),
    /// Make shards of a folder of pictures or a table of paths and captions
    Pack(PackArgs),
}

/// `twinspan data audit`.
#[derive(Args)]
#[command(
    after_help = "Every epoch's samples are walked in the order that the seed gives; what the steps used must have
the hash that the ranks wrote down, and what they passed over must be recorded. Reads the headers of
all shards. Exit code 1 where the ledger has a fault.

Example:
  twinspan data audit runs/quickstart"
)]
pub struct AuditArgs {
    /// Directory or URL of a run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan data index`.
#[derive(Args)]
#[command(
    after_help = "Counts come from sizes.json beside the shards, else from img2dataset's NNNNN_stats.json,
else from reading the shards' headers.

Examples:
  twinspan data index tests/data/emoji/train/
  twinspan data index 's3://bucket/set/{00000..00099}.tar' --out index.json
  twinspan data index /data/set/ --scan               exit code 1 where a written count is wrong"
)]
pub struct IndexArgs {
    /// Shards with braces, or folders and prefixes for all .tar below
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
    /// Write the index there as JSON: whole, or not at all
    #[arg(long, value_name = "FILE")]
    pub out: Option<String>,
    /// Count every shard, and compare with what is written beside it
    #[arg(long)]
    pub scan: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan data inspect`.
#[derive(Args)]
#[command(
    after_help = "Every sample that is looked at is read and decoded as in training.

Examples:
  twinspan data inspect tests/data/emoji/train/
  twinspan data inspect 's3://bucket/set/{00000..00099}.tar' --limit 1000 --json"
)]
pub struct InspectArgs {
    /// Shards with braces, or folders and prefixes for all .tar below
    #[arg(required = true, value_name = "URL")]
    pub urls: Vec<String>,
    /// Samples to show
    #[arg(long, value_name = "N", default_value = "5")]
    pub samples: u64,
    /// Samples to look at, at most: the first ones of each shard, by its share of all
    #[arg(long, value_name = "N", default_value = "10000")]
    pub limit: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan data pack`.
#[derive(Args)]
#[command(
    after_help = "A folder holds pictures (.jpg .png .jpeg .webp), each with a .txt of the same name beside it. A
table has a column of picture paths, from the table's own folder, and one of captions. Keys are
the pictures' names, or running numbers where names are equal or cannot be keys. All is checked
before anything is written, and the same input makes the same bytes.

Examples:
  twinspan data pack pictures/ shards/
  twinspan data pack pairs.csv s3://bucket/set/ --image-column file --caption-column text
  twinspan data pack pairs.parquet shards/ --shard-samples 1000 --skip-bad"
)]
pub struct PackArgs {
    /// Folder, .csv file or .parquet file
    pub input: PathBuf,
    /// Folder or URL to write 00000.tar, ... and sizes.json to
    pub out: String,
    /// Samples in a shard
    #[arg(long, value_name = "N", default_value = "10000")]
    pub shard_samples: NonZeroU64,
    /// The table's column of picture paths
    #[arg(long, value_name = "NAME", default_value = "path")]
    pub image_column: String,
    /// The table's column of captions
    #[arg(long, value_name = "NAME", default_value = "caption")]
    pub caption_column: String,
    /// Leave out pictures that do not decode and empty captions, instead of refusing them
    #[arg(long)]
    pub skip_bad: bool,
    /// Replace the shards that are there
    #[arg(long)]
    pub overwrite: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
