//! What can be said on the command line.

mod checkpoint;
mod data;
mod eval;
mod inference;
mod robustness;

pub use checkpoint::{CheckpointArgs, CheckpointTask, ListArgs, VerifyArgs};
pub use data::{AuditArgs, DataArgs, DataTask, IndexArgs, InspectArgs, PackArgs};
pub use eval::{EvalArgs, EvalTask, LinearProbeArgs, RetrievalArgs, ZeroShotArgs};
pub use inference::{ClassifyArgs, EmbedArgs, SearchArgs, SearchKind};
pub use robustness::RobustnessArgs;

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;
use twinspan_types::config::{DeviceChoice, PageAddress};

/// Trains CLIP models on one machine or many.
#[derive(Parser)]
#[command(name = "twinspan", version, about, long_about = None, propagate_version = true)]
#[command(after_help = "Examples:
  twinspan train configs/quickstart.yaml              a whole run on this machine
  twinspan validate configs/quickstart.yaml           only check the run file
  twinspan eval zero-shot runs/quickstart tests/data/emoji/ --json
  twinspan classify runs/quickstart cat.jpg --labels cat,dog

Exit codes: 0 done or stopped in order, 1 failed, 2 bad input (nothing was written), 75 a worker left
the run as it was told to, 130 stopped at once.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Which log lines to print, such as `info` or `twinspan_worker=debug`.
    #[arg(long, global = true, value_name = "FILTER", env = "TWINSPAN_LOG")]
    pub log: Option<String>,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Train: one coordinator and N workers on this machine, then evaluate
    Train(TrainArgs),
    /// Run one coordinator
    Coordinator(CoordinatorArgs),
    /// Run one worker, or several on one machine
    Worker(WorkerArgs),
    /// Show what a running coordinator sees
    Status(StatusArgs),
    /// Evaluate a checkpoint on a dataset
    Eval(EvalArgs),
    /// Say which of some labels pictures show
    Classify(ClassifyArgs),
    /// Turn pictures and texts into vectors
    Embed(EmbedArgs),
    /// Find the pictures nearest to a text
    Search(SearchArgs),
    /// Index, inspect and make shards
    Data(DataArgs),
    /// List a run's checkpoints, and check that they are whole
    Checkpoint(CheckpointArgs),
    /// Check a run file and report every fault at once
    Validate(ValidateArgs),
}

/// `twinspan train`.
#[derive(Args)]
#[command(
    after_help = "Starting the same run again continues it from its newest checkpoint.
Ctrl-C finishes the step, writes a checkpoint and stops; a second Ctrl-C stops at once.

Examples:
  twinspan train configs/quickstart.yaml
  twinspan train configs/quickstart.yaml --workers 1
  twinspan train my-run.yaml --workers 8 --device cuda    a GPU for each worker
  twinspan train my-run.yaml --no-eval --json
  twinspan train my-run.yaml --chaos 7                kills and stops processes of the run"
)]
pub struct TrainArgs {
    /// Run file
    pub config: PathBuf,
    /// Workers on this machine, instead of the run file's cluster.workers
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Threads that each worker computes with [default: the machine's cores divided among workers]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// What workers compute on, instead of the run file's worker.device: auto, cpu, cuda (each worker
    /// gets a GPU of its own), cuda:N or wgpu:N (all share that one)
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
    /// Kill (SIGKILL) and stop (SIGSTOP) workers and the coordinator at random times, drawn from this
    /// seed, which the run must outlive
    #[arg(long, value_name = "SEED")]
    pub chaos: Option<u64>,
    /// host:port of the status page, or off, instead of the run file's telemetry.http
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<PageAddress>,
    /// Leave out all evaluation
    #[arg(long)]
    pub no_eval: bool,
    /// Print the result as one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// `twinspan coordinator`.
#[derive(Args)]
#[command(
    after_help = "Prints one JSON line with its address on standard output once it listens.

Example:
  twinspan coordinator my-run.yaml --listen 0.0.0.0:7700"
)]
pub struct CoordinatorArgs {
    /// Run file
    pub config: PathBuf,
    /// host:port to listen on, instead of the run file's cluster.listen
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Host or host:port under which others reach it [default: where it listens, or this machine's
    /// name when that is every address]
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Workers to wait for, instead of the run file's cluster.workers
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// host:port of the status page, or off, instead of the run file's telemetry.http
    #[arg(long, value_name = "ADDRESS")]
    pub http: Option<PageAddress>,
    /// Leave out all evaluation
    #[arg(long)]
    pub no_eval: bool,
    /// End when standard input ends: a parent process holds it open
    #[arg(long, hide = true)]
    pub parent_pipe: bool,
}

/// `twinspan worker`.
#[derive(Args)]
#[command(
    after_help = "SIGTERM or Ctrl-C lets it finish the step, leave the run to the others, and end with exit code 75.

With --workers N it starts N workers as processes. With device auto or cuda each gets a GPU of its \
own, cuda:0 to cuda:N-1; with cuda:0 all share that one. SIGTERM and Ctrl-C are passed on, one that \
crashes is started again, and the exit code is the worst of theirs.

Examples:
  twinspan worker --coordinator http://10.0.0.5:7700 --host 10.0.0.6
  twinspan worker --coordinator http://10.0.0.5:7700 --host 10.0.0.6 --device cuda:1
  twinspan worker --coordinator http://10.0.0.5:7700 --host 10.0.0.6 --workers 8 --device cuda"
)]
pub struct WorkerArgs {
    /// URL of the coordinator
    #[arg(long, value_name = "URL")]
    pub coordinator: String,
    /// Address of this machine that other workers can reach
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// Workers to start on this machine, each with a device of its own [default: this one alone]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub workers: Option<usize>,
    /// Threads that each worker computes with [default: the machine's cores, divided among workers]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
    /// What to compute on, instead of the run file's worker.device: auto, cpu, cuda, cuda:N or wgpu:N
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceChoice>,
    /// Time to leave in order after SIGTERM or Ctrl-C, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    pub grace: Duration,
    /// Longest wait for the coordinator, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "150", value_parser = seconds)]
    pub patience: Duration,
    /// Time that each sample's decoding takes longer than it must, in seconds: for tests
    #[arg(long, hide = true, default_value = "0", value_parser = seconds)]
    pub decode_delay: Duration,
    /// End when standard input ends: a parent process holds it open
    #[arg(long, hide = true)]
    pub parent_pipe: bool,
}

/// `twinspan status`.
#[derive(Args)]
#[command(after_help = "Example:
  twinspan status http://127.0.0.1:7700")]
pub struct StatusArgs {
    /// URL of the coordinator
    pub url: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `twinspan validate`.
#[derive(Args)]
#[command(after_help = "Example:
  twinspan validate configs/quickstart.yaml")]
pub struct ValidateArgs {
    /// Run file
    pub config: PathBuf,
    /// Print the checked run file, with every default filled in
    #[arg(long)]
    pub print: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is not a whole number of at least 1"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}
