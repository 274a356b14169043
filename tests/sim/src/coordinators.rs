//! Machines that run the real coordinator, and start it again when it ends before the run does.

use crate::net::{COORDINATOR_PORT, connect, incoming};
use crate::state::mix;
use crate::surroundings::Surroundings;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::sleep;
use twinspan_coordinator::{Outcome, Place, Presence, Started, start};
use twinspan_types::{Index, RunConfig};

/// Pause before a coordinator that has ended is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Runs coordinators on a machine until the run has ended. `boot` is the machine's own count.
pub async fn machine(
    around: Surroundings,
    host: &'static str,
    config: RunConfig,
    index: Index,
    mut boot: u64,
) -> turmoil::Result {
    loop {
        boot += 1;
        let seed = mix(around.seed ^ mix(boot) ^ host.len() as u64);
        let mut entropy = [0; 32];
        entropy[..8].copy_from_slice(&seed.to_le_bytes());
        let place = Place {
            files: around.files.clone(),
            address: format!("{host}:{COORDINATOR_PORT}"),
            incoming: incoming(),
            probe: Box::new(probe),
            page: None,
        };
        let ended = match start(config.clone(), index.clone(), place, entropy).await {
            Ok(Started::Over(outcome)) => Ok(outcome),
            Ok(Started::Running(coordinator)) => {
                around.note(host, "serves".to_owned());
                coordinator.wait().await
            }
            Err(error) => Err(error),
        };
        match ended {
            Ok(Outcome::Ended { step, .. }) => {
                around.note(host, format!("the run has ended at step {step}"));
                return Ok(());
            }
            Ok(outcome) => around.note(host, format!("{outcome:?}")),
            Err(error) => around.note(host, error.to_string()),
        }
        sleep(RESTART).await;
    }
}

/// Whether somebody listens at an address; who it is, is plain here: there is one run.
fn probe(address: String) -> Pin<Box<dyn Future<Output = Presence> + Send>> {
    Box::pin(async move {
        let host = address.split(':').next().unwrap_or_default();
        match connect(host, COORDINATOR_PORT).await {
            Ok(_) => Presence::Answers {
                run: "sim".to_owned(),
            },
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Presence::Gone,
            Err(_) => Presence::Silent,
        }
    })
}
