//! `twinspan worker`: one rank, or several of one machine.

mod many;

use crate::args::WorkerArgs;
use crate::exit::{DRAINED, Failure, failed, failure};
use crate::{parent, status};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};
use twinspan_worker::{Drain, WorkerConfig};

/// Exit code of a worker that a second Ctrl-C has stopped at once.
const INTERRUPTED: i32 = 130;

/// Runs one worker, or as many as were asked for, until the run is over.
pub fn run(args: &WorkerArgs) -> Result<(), Failure> {
    if args.parent_pipe {
        parent::end_with_parent();
    }
    match args.workers {
        Some(workers) => many::run(args, workers),
        None => run_one(args),
    }
}

fn run_one(args: &WorkerArgs) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let config = WorkerConfig {
        coordinator: status::with_scheme(&args.coordinator),
        host: args.host.clone(),
        machine: machine_name(),
        threads: args.threads.unwrap_or(cores),
        device: args.device,
        patience: args.patience,
        decode_delay: args.decode_delay,
    };
    let orders = Orders::listen(args.grace).map_err(failed)?;
    let finished = twinspan_worker::run(&config, |drain| orders.obey(drain));
    let finished = finished.map_err(|error| failure(error.is_bad_input(), error))?;
    let step = finished.step;
    match finished.rank {
        Some(rank) => tracing::info!("rank {rank} left after step {step}"),
        None => tracing::info!("left before the first generation"),
    }
    match finished.drained {
        true => Err(Failure::Drained),
        false => Ok(()),
    }
}

/// Listens for SIGTERM and Ctrl-C: the first lets the worker go at the next boundary, the second at
/// once.
struct Orders(Arc<Mutex<Option<Drain>>>);

impl Orders {
    fn listen(grace: Duration) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (mut terminate, mut interrupt) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            )
        };
        let worker = Arc::default();
        let orders = Self(Arc::clone(&worker));
        std::thread::spawn(move || {
            runtime.block_on(async {
                let first = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "Ctrl-C",
                };
                let Some(drain) = taken(&worker) else {
                    // It has not joined: there is nobody to tell.
                    std::process::exit(i32::from(DRAINED));
                };
                tracing::info!(
                    "{first}: leaving at the next boundary, or after {grace:?}; Ctrl-C to stop at \
                     once"
                );
                drain.at_next_boundary();
                let deadline = Instant::now() + grace;
                tokio::select! {
                    _ = interrupt.recv() => std::process::exit(INTERRUPTED),
                    () = sleep_until(deadline) => drain.at_once(),
                }
                interrupt.recv().await;
                std::process::exit(INTERRUPTED);
            });
        });
        Ok(orders)
    }

    fn obey(&self, drain: Drain) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(drain);
    }
}

fn taken(worker: &Mutex<Option<Drain>>) -> Option<Drain> {
    worker
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// This machine's name.
pub fn machine_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// Bytes from the system's generator.
pub fn random_bytes() -> [u8; 32] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut bytes = [0; 32];
    for word in bytes.as_chunks_mut::<8>().0 {
        *word = RandomState::new().build_hasher().finish().to_le_bytes();
    }
    bytes
}
