//! `twinspan data`.

use clap::{Args, Subcommand};

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
    /// Count shards, their samples and bytes, and write an index
    Index(IndexArgs),
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
