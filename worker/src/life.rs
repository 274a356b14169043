//! A worker's life: join, then one generation after the other, and leave. Its state outlives the
//! generations.

use crate::clock::Clock;
use crate::device::{OpenDevice, Place};
use crate::trace::Telling;
use crate::train::{Ended, Run, train};
use crate::transport::{self, Transport};
use crate::{TrainState, WorkerError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;
use twinspan_collective::RingListener;
use twinspan_session::{Drain, Outcome, Session, SessionConfig, SessionError, wait_for_run};
use twinspan_telemetry::set_current;
use twinspan_types::config::DeviceChoice;
use twinspan_types::{Nonce, Rank, SpanName, Step};

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
    /// What it computes on, where that is not what the run file says.
    pub device: Option<DeviceChoice>,
    /// Longest wait for the coordinator.
    pub patience: Duration,
    /// Time that each sample's decoding takes longer than it must: how tests make a rank slow.
    pub decode_delay: Duration,
}

/// How a worker ended in good order.
#[derive(Debug, Clone, Copy)]
pub struct Finished {
    /// The last committed step.
    pub step: Step,
    /// The rank that it held; none before its first generation.
    pub rank: Option<Rank>,
    /// Whether it was told to go before the run's end.
    pub drained: bool,
}

/// What this binary is and works with: ranks of one run must be built alike, since they must take
/// the same decisions about the same bytes, compute alike, and understand each other.
fn build_fingerprint(place: &Place, transport: &Transport) -> String {
    let jpeg = if cfg!(feature = "turbojpeg") {
        "turbojpeg"
    } else {
        "zune-jpeg"
    };
    format!(
        "twinspan {} {}-{} {jpeg}, {}, {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        place.kind(),
        transport.kind(),
    )
}

/// Joins the run, trains until the coordinator says that it is over, and leaves. A broken
/// generation is left for the next one with the state kept.
///
/// `on_join` gets the means to tell the worker to go.
///
/// # Errors
/// When this worker cannot go on; the coordinator has been told why, if it could be reached.
pub fn run(config: &WorkerConfig, on_join: impl FnOnce(Drain)) -> Result<Finished, WorkerError> {
    // Before it joins, so that a device that cannot be had costs the run nothing.
    let run = wait_for_run(&config.coordinator, config.patience)?;
    let choice = config.device.unwrap_or(run.worker.device);
    let device = OpenDevice::open(choice, run.train.precision)?;
    let place = &device.place;
    let transport = transport::choose(run.cluster.collective, place, transport::nccl)?;
    tracing::info!("computes on {place}; collectives over {transport}");
    let telling = Telling::open(&run.url(), &config.machine, &place.to_string())?;
    let listener = RingListener::bind(&config.host)?;
    let (session, run) = Session::join(SessionConfig {
        url: config.coordinator.clone(),
        build: build_fingerprint(place, &transport),
        device: place.to_string(),
        address: listener.address().to_owned(),
        host: config.machine.clone(),
        nonce: random_nonce(),
        patience: config.patience,
    })?;
    on_join(session.drain());
    tracing::info!(worker = %session.worker(), "joined the run {}", run.run);
    let lived = Run::open(run, listener, config, &device, &transport, telling.clone())
        .and_then(|run| generations(&session, &run));
    set_current(None);
    let ended = say_goodbye(session, lived);
    telling.close();
    ended
}

/// Tells the coordinator how it ended, if that can be reached.
fn say_goodbye(
    session: Session,
    lived: Result<Finished, WorkerError>,
) -> Result<Finished, WorkerError> {
    match lived {
        Ok(finished) if finished.drained => {
            // Whoever goes in a hurry has been given up where it is not heard.
            if let Err(unheard) = session.leave(Outcome::Drained) {
                tracing::debug!(%unheard, "the coordinator was not told");
            }
            Ok(finished)
        }
        Ok(finished) => {
            session.leave(Outcome::Done)?;
            Ok(finished)
        }
        Err(error) => {
            let reason = error.to_string();
            if let Err(unheard) = session.leave(Outcome::Failed { reason }) {
                tracing::debug!(%unheard, "the coordinator was not told");
            }
            Err(error)
        }
    }
}

/// Takes part in generations until the run ends, this worker is told to go, or something fails that
/// another generation does not mend.
fn generations(session: &Session, run: &Run) -> Result<Finished, WorkerError> {
    let mut state: Option<TrainState> = None;
    let mut fault = None;
    let mut rank = None;
    loop {
        let stamp = state.as_ref().map(TrainState::stamp).unwrap_or_default();
        if session.is_draining() {
            return Ok(Finished {
                step: stamp.step,
                rank,
                drained: true,
            });
        }
        let mut clock = Clock::new(Some(session));
        clock.enter(SpanName::Join);
        let world = match session.next_world(stamp, fault.take()) {
            Ok(world) => world,
            Err(_) if session.is_draining() => continue,
            Err(error) => return ended(error, stamp.step, rank),
        };
        rank = world.rank_of(&session.worker());
        match train(session, run, &world, &mut state, clock) {
            Ok(Ended::Finished(finished)) => return Ok(finished),
            Ok(Ended::Reform) => {}
            Err(_) if session.is_draining() => {}
            Err(error) if error.leaves_generation() => {
                tracing::debug!("generation {} is over: {error}", world.generation);
                if error.voids_state(rank) {
                    state = None;
                }
                fault = error.fault();
            }
            Err(error) => return Err(error),
        }
    }
}

/// A run that ends in good order while this worker waits for a generation needs it no more.
fn ended(error: SessionError, step: Step, rank: Option<Rank>) -> Result<Finished, WorkerError> {
    match error {
        SessionError::Ended { failed: false, .. } => Ok(Finished {
            step,
            rank,
            drained: false,
        }),
        error => Err(error.into()),
    }
}

/// Random enough that no two workers of a run ever share it.
fn random_nonce() -> Nonce {
    Nonce(RandomState::new().build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_model::device::{CudaGpu, Version};

    fn gpu(number: u32, major: u32, driver: u32) -> Place {
        Place::Cuda(CudaGpu {
            number,
            name: "a GPU".to_owned(),
            capability: Version { major, minor: 0 },
            driver: Version {
                major: driver,
                minor: 0,
            },
            nvrtc: Version {
                major: 13,
                minor: 0,
            },
        })
    }

    /// The coordinator takes ranks of one fingerprint alone.
    #[test]
    fn ranks_of_one_run_have_a_kind_of_device_and_a_transport_in_common() {
        let tcp = Transport::Tcp { no_nccl: None };
        let nccl = |version: &str| Transport::Nccl(version.to_owned());
        let of = |place: &Place, transport: &Transport| build_fingerprint(place, transport);
        let ours = of(&gpu(0, 9, 13), &nccl("2.28.3"));
        assert!(ours.ends_with(", cuda sm_90, nccl 2.28.3"), "{ours}");
        assert_eq!(ours, of(&gpu(7, 9, 12), &nccl("2.28.3")));
        for other in [
            of(&gpu(0, 8, 13), &nccl("2.28.3")),
            of(&gpu(0, 9, 13), &nccl("2.27.0")),
            of(&gpu(0, 9, 13), &tcp),
            of(&Place::Cpu, &tcp),
        ] {
            assert_ne!(ours, other);
        }
        let without = Transport::Tcp {
            no_nccl: Some("it is missing".to_owned()),
        };
        assert_eq!(of(&Place::Cpu, &tcp), of(&Place::Cpu, &without));
        assert!(of(&Place::Cpu, &tcp).ends_with(", cpu, tcp"));
    }
}
