//! The heartbeat: reports progress, extends the lease, and takes the coordinator's orders.

use crate::SessionError;
use crate::session::{Client, Link};
use crate::shared::{Ended, Shared};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use twinspan_proto::v1;
use twinspan_types::Step;

/// Steps reported in one message at most; the rest follow in the next.
const STEPS_A_REPORT: usize = 256;

/// Beats every `interval`, and at once when woken, until the task is aborted. A coordinator that
/// is out of reach for `patience` ends the session.
pub(crate) async fn run(link: Link, shared: Arc<Shared>, interval: Duration, patience: Duration) {
    let mut client = link.client();
    let mut reached = Instant::now();
    loop {
        match beat(&mut client, &link, &shared).await {
            Ok(()) => reached = Instant::now(),
            Err(SessionError::Evicted { .. }) => {
                // The training thread joins anew.
                return shared.note_superseded(shared.generation());
            }
            Err(SessionError::Superseded { .. }) => shared.note_superseded(shared.generation()),
            Err(SessionError::Refused { reason, .. }) => {
                return shared.note_end(Ended {
                    failed: true,
                    reason,
                });
            }
            Err(error) if reached.elapsed() > patience => {
                let reason = format!(
                    "the coordinator has not answered for {} s: {error}",
                    reached.elapsed().as_secs()
                );
                return shared.note_end(Ended {
                    failed: true,
                    reason,
                });
            }
            Err(error) => tracing::debug!(%error, "heartbeat not delivered"),
        }
        let _ = timeout(interval, shared.wake.notified()).await;
    }
}

async fn beat(client: &mut Client, link: &Link, shared: &Shared) -> Result<(), SessionError> {
    report(client, link, shared).await?;
    let step = shared.step();
    if shared.generation() > 0 && shared.lease_is_low(step) {
        extend_lease(client, link, shared, step).await?;
    }
    Ok(())
}

async fn report(client: &mut Client, link: &Link, shared: &Shared) -> Result<(), SessionError> {
    let generation = shared.generation();
    let steps: Vec<v1::StepReport> = match shared.delivers() {
        true => {
            let outbox = shared.outbox();
            let received = shared.received();
            let fresh = outbox.iter().filter(|report| report.step > received);
            let steps = fresh.take(STEPS_A_REPORT).cloned();
            steps.map(Into::into).collect()
        }
        false => Vec::new(),
    };
    let request = v1::ReportRequest {
        fence: Some(link.fence(shared)),
        phase: v1::Phase::from(shared.phase()).into(),
        step: shared.step().0,
        collective_sequence: shared.collective_sequence(),
        progress: shared.progress(),
        steps,
    };
    let response = link.once("Report", client.report(request)).await?;
    let acknowledged = Step(response.acknowledged_step);
    shared.set_received(Step(response.received_step));
    shared.outbox().retain(|report| report.step > acknowledged);
    if let Some(directive) = response.directive {
        shared.note_directive(directive.into());
    }
    if response.superseded {
        shared.note_superseded(generation);
    }
    if let Some(ended) = response.ended {
        shared.note_end(Ended {
            failed: ended.failed,
            reason: ended.reason,
        });
    }
    Ok(())
}

pub(crate) async fn extend_lease(
    client: &mut Client,
    link: &Link,
    shared: &Shared,
    step: Step,
) -> Result<(), SessionError> {
    let request = v1::ExtendLeaseRequest {
        fence: Some(link.fence(shared)),
        step: step.0,
    };
    let response = link
        .once("ExtendLease", client.extend_lease(request))
        .await?;
    shared.extend_lease(step, Step(response.through_step));
    Ok(())
}
