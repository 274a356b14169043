//! A worker's life: join, then one generation after the other, and leave. Its state outlives the
//! generations.

use crate::train::{Ended, Run, train};
use crate::{TrainState, WorkerError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use twinspan_collective::RingListener;
use twinspan_session::{Outcome, Session, SessionConfig, SessionError};
use twinspan_types::{Nonce, Rank, Stamp, Step};

/// What a worker is told when it is started.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// `http://host:port` of the coordinator.
    pub coordinator: String,
    /// Address that the data plane listens on and that peers can reach.
    pub host: String,
    /// This machine's name.
    pub machine: String,
    /// Threads that compute.
    pub threads: usize,
    /// Longest wait for the coordinator.
    pub patience: Duration,
}

/// How a worker ended in good order.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// The last committed step.
    pub step: Step,
    /// The rank that it held.
    pub rank: Rank,
}

/// What this binary is: ranks of one run must be built alike, since they must take the same
/// decisions about the same bytes.
#[must_use]
pub fn build_fingerprint() -> String {
    let jpeg = if cfg!(feature = "turbojpeg") {
        "turbojpeg"
    } else {
        "zune-jpeg"
    };
    format!(
        "twinspan {} {}-{} {jpeg}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
    )
}

/// Joins the run, trains until the coordinator says that it is over, and leaves. A broken
/// generation is left for the next one with the state kept.
///
/// # Errors
/// When this worker cannot go on; the coordinator has been told why, if it could be reached.
pub fn run(config: &WorkerConfig) -> Result<Finished, WorkerError> {
    let listener = RingListener::bind(&config.host)?;
    let (mut session, run) = Session::join(&SessionConfig {
        url: config.coordinator.clone(),
        build: build_fingerprint(),
        address: listener.address().to_owned(),
        host: config.machine.clone(),
        nonce: random_nonce(),
        patience: config.patience,
    })?;
    tracing::info!(worker = %session.worker(), "joined the run {}", run.run);
    let lived = Run::open(run, listener, config.threads)
        .and_then(|mut run| generations(&mut session, &mut run));
    match lived {
        Ok(finished) => {
            session.leave(Outcome::Done)?;
            Ok(finished)
        }
        Err(error) => {
            let reason = error.to_string();
            let blamed = None;
            if let Err(unheard) = session.leave(Outcome::Failed { reason, blamed }) {
                tracing::debug!(%unheard, "the coordinator was not told");
            }
            Err(error)
        }
    }
}

/// Takes part in generations until the run ends or something fails that another generation does
/// not mend.
fn generations(session: &mut Session, run: &mut Run) -> Result<Finished, WorkerError> {
    let mut state: Option<TrainState> = None;
    let mut lost = None;
    loop {
        let stamp = state.as_ref().map(TrainState::stamp).unwrap_or_default();
        let world = match next_world(session, stamp, lost.take()) {
            Ok(world) => world,
            Err(SessionError::Evicted { reason, .. }) => {
                tracing::info!("joining again, as the coordinator does not know this worker");
                tracing::debug!("{reason}");
                session.rejoin(random_nonce(), stamp)?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match train(session, run, &world, &mut state) {
            Ok(Ended::Finished(finished)) => return Ok(finished),
            Ok(Ended::Reform) => {}
            Err(error) if error.leaves_generation() => {
                tracing::debug!("generation {} is over: {error}", world.generation);
                lost = error.blames();
            }
            Err(error) => return Err(error),
        }
    }
}

fn next_world(
    session: &Session,
    stamp: Stamp,
    lost: Option<Rank>,
) -> Result<twinspan_types::World, SessionError> {
    session.set_phase(twinspan_types::Phase::Joining);
    session.next_world(stamp, lost)
}

/// Random enough that no two workers of a run ever share it.
fn random_nonce() -> Nonce {
    Nonce(RandomState::new().build_hasher().finish())
}
