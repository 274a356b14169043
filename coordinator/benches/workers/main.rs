//! How fast a coordinator serves 1,024 workers on one machine, and what that costs it.
//!
//!     cargo bench --workspace --bench workers
//!     cargo bench --workspace --bench workers -- --workers 256 --seconds 60
//!
//! The coordinator is a process of its own, as `twinspan coordinator` is. Every simulated worker has
//! a connection of its own and says what a real one says, as often: it joins, asks for its world
//! until that is formed, extends its lease, and sends heartbeats, in which rank 0 delivers the steps
//! that all commit together. Workers start over five seconds. All of them share the machine's cores
//! with the coordinator, so a call's time holds the wait for a core on either side.

mod args;
mod calls;
mod clock;
mod process;
mod server;
mod worker;

use args::Args;
use calls::Calls;
use clock::Clock;
use process::Usage;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Time over which the workers start.
const ARRIVAL: Duration = Duration::from_secs(5);
/// What a call may take in all but one of a hundred cases.
const LIMIT: Duration = Duration::from_millis(100);

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    process::raise_file_limit();
    let args = Args::parse(std::env::args().skip(1))?;
    match &args.serve {
        Some(folder) => server::run(folder, args.workers),
        None => {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(measure(&args))
        }
    }
}

async fn measure(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let coordinator = server::Coordinator::start(folder.path(), args.workers)?;
    let idle = Usage::of(coordinator.pid())?;
    let clock = Arc::new(Clock::new(args.workers));
    let mut workers = JoinSet::new();
    for number in 0..args.workers {
        let (url, clock) = (coordinator.url().to_owned(), Arc::clone(&clock));
        let start = ARRIVAL * number / args.workers;
        workers.spawn(async move {
            sleep(start).await;
            worker::live(url, number, &clock).await
        });
    }
    let lived = async {
        let mut calls = Calls::default();
        while let Some(lived) = workers.join_next().await {
            calls.add(lived??);
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(calls)
    };
    let at_work = async {
        clock.wait_for_all().await;
        let formed = Usage::of(coordinator.pid())?;
        clock.run(Duration::from_secs(args.seconds)).await;
        Ok((formed, Usage::of(coordinator.pid())?))
    };
    let (calls, (formed, end)) = tokio::try_join!(lived, at_work)?;
    println!(
        "{} workers, {} s at work\n{}",
        args.workers,
        args.seconds,
        calls.table()
    );
    println!(
        "coordinator's memory: {} before the first worker, {} at the end, {} at the most",
        idle.resident, end.resident, end.peak
    );
    println!(
        "coordinator's CPU time: {:.1} s until all had their world, then {:.2} of a core",
        (formed.cpu - idle.cpu).as_secs_f64(),
        (end.cpu - formed.cpu).as_secs_f64() / args.seconds as f64
    );
    match calls.slowest() {
        slowest if slowest > LIMIT => Err(format!(
            "a p99 of {slowest:.1?} is more than {LIMIT:?}; if other programs were at work, run this \
             again without them"
        )
        .into()),
        _ => Ok(()),
    }
}
