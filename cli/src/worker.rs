//! `twinspan worker`: one rank.

use crate::args::WorkerArgs;
use crate::exit::{Failure, failed};
use crate::{parent, status};
use twinspan_worker::WorkerConfig;

/// Runs one worker until the run is over.
pub fn run(args: &WorkerArgs) -> Result<(), Failure> {
    if args.parent_pipe {
        parent::end_with_parent();
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let config = WorkerConfig {
        coordinator: status::with_scheme(&args.coordinator),
        host: args.host.clone(),
        machine: machine_name(),
        threads: args.threads.unwrap_or(cores),
        patience: args.patience,
    };
    let finished = twinspan_worker::run(&config).map_err(failed)?;
    tracing::info!("rank {} left after step {}", finished.rank, finished.step);
    Ok(())
}

fn machine_name() -> String {
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
