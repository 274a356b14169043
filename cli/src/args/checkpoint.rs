//! `twinspan checkpoint`.

use clap::{Args, Subcommand};

/// `twinspan checkpoint`.
#[derive(Args)]
pub struct CheckpointArgs {
    /// What to do with checkpoints.
    #[command(subcommand)]
    pub task: CheckpointTask,
}

/// What `twinspan checkpoint` can do.
#[derive(Subcommand)]
pub enum CheckpointTask {
    /// Show the checkpoints that a run's log has in force
    List(ListArgs),
    /// Read every part of them and compare it with what was written
    Verify(VerifyArgs),
}

/// `twinspan checkpoint list`.
#[derive(Args)]
#[command(
    after_help = "A directory below checkpoints/ without a record in the log is no checkpoint, and is not shown.

Examples:
  twinspan checkpoint list runs/quickstart
  twinspan checkpoint list s3://bucket/runs/my-run --json"
)]
pub struct ListArgs {
    /// Directory or URL of a run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan checkpoint verify`.
#[derive(Args)]
#[command(
    after_help = "Every part's size and SHA-256 must be the manifest's. Exit code 1 where a part is missing, cut or
changed.

Examples:
  twinspan checkpoint verify runs/quickstart
  twinspan checkpoint verify s3://bucket/runs/my-run step-00000768-2a43d11c --json"
)]
pub struct VerifyArgs {
    /// Directory or URL of a run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Name of one checkpoint's directory [default: all that are in force]
    #[arg(value_name = "CHECKPOINT")]
    pub checkpoint: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
