//! The coordinator's process: this program with other arguments.

use crate::Result;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::net::TcpListener;
use twinspan_coordinator::{Place, Started};
use twinspan_types::{Index, RunConfig, ShardEntry};

/// Shards of the dataset, which nobody reads.
const SHARDS: u64 = 1000;
const SAMPLES: u64 = 10_000;

/// The coordinator as its starter sees it; killed on drop.
pub struct Coordinator {
    process: Child,
    url: String,
}

impl Coordinator {
    /// Starts a run of so many workers in a folder.
    pub fn start(folder: &Path, workers: u32) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--workers", &workers.to_string(), "--serve"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut coordinator = Self {
            process,
            url: String::new(),
        };
        BufReader::new(output).read_line(&mut coordinator.url)?;
        coordinator.url.truncate(coordinator.url.trim_end().len());
        match coordinator.url.is_empty() {
            true => Err("the coordinator did not start".into()),
            false => Ok(coordinator),
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves until standard input ends, which it does with the starter.
pub fn run(folder: &Path, workers: u32) -> Result<()> {
    // As `twinspan coordinator` has it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let config = config(folder, workers)?;
    let place = {
        let _entered = runtime.enter();
        Place::of(&config, listener, None)?
    };
    let started = twinspan_coordinator::start(config, index(), place, [7; 32]);
    let Started::Running(_coordinator) = runtime.block_on(started)? else {
        return Err("the folder holds a run that has ended".into());
    };
    let mut output = std::io::stdout();
    writeln!(output, "http://{address}")?;
    output.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A run with a lane for every worker and every limit as it is by default.
fn config(folder: &Path, workers: u32) -> Result<RunConfig> {
    let text = format!(
        "
run: workers
output: {}
model: {{}}
data: {{train: 's3://bucket/{{00000..00999}}.tar', lanes: {workers}}}
train: {{global_batch: {workers}, steps: 1000000}}
cluster: {{workers: {workers}}}
",
        folder.display()
    );
    Ok(RunConfig::parse(
        &text,
        Path::new("the benchmark's run"),
        folder,
    )?)
}

fn index() -> Index {
    let shards = (0..SHARDS).map(|number| ShardEntry {
        url: format!("s3://bucket/{number:05}.tar"),
        samples: SAMPLES,
        bytes: 300 << 20,
        etag: None,
    });
    Index::of_one_source(shards.collect())
}
