//! The heartbeat: reports progress, extends the lease, and takes the coordinator's orders.

use crate::SessionError;
use crate::membership::{Identity, Membership};
use crate::shared::Ended;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use twinspan_proto::v1;
use twinspan_types::Step;

/// Steps reported in one message at most; the rest follow in the next.
const STEPS_A_REPORT: usize = 256;

/// Silence of the coordinator that is worth a word.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// Beats every `interval`, and at once when woken, until the run ends or this worker is refused. A
/// coordinator that is out of reach for the session's patience ends the run for this worker.
pub(crate) async fn run(membership: &Membership, interval: Duration) {
    let shared = &membership.shared;
    let mut reached = Instant::now();
    let mut told = false;
    loop {
        let identity = membership.identity();
        let beaten = match beat(membership, &identity).await {
            Err(SessionError::Evicted { .. }) => membership.join_again(&identity).await,
            beaten => beaten,
        };
        match beaten {
            Ok(()) => {
                reached = Instant::now();
                if std::mem::take(&mut told) {
                    tracing::info!("the coordinator answers again");
                }
            }
            Err(SessionError::Superseded { .. }) => shared.note_superseded(shared.generation()),
            Err(SessionError::Ended { failed, reason }) => {
                return shared.note_end(Ended { failed, reason });
            }
            Err(SessionError::Refused { reason, .. }) => {
                return shared.note_end(Ended {
                    failed: true,
                    reason,
                });
            }
            Err(error) if reached.elapsed() > membership.patience() => {
                let reason = format!(
                    "the coordinator has not answered for {} s: {error}",
                    reached.elapsed().as_secs()
                );
                return shared.note_end(Ended {
                    failed: true,
                    reason,
                });
            }
            Err(error) => {
                tracing::debug!(%error, "heartbeat not delivered");
                if !told && reached.elapsed() > TELL_AFTER {
                    told = true;
                    let through = shared.lease().borrow().0;
                    tracing::warn!(
                        "the coordinator does not answer; this worker may go on to step {through} \
                         and waits for it for up to {:?}",
                        membership.patience()
                    );
                }
            }
        }
        let _ = timeout(interval, shared.wake.notified()).await;
    }
}

async fn beat(membership: &Membership, identity: &Identity) -> Result<(), SessionError> {
    report(membership, identity).await?;
    let shared = &membership.shared;
    let step = shared.step();
    if shared.generation() > 0 && shared.lease_is_low(step) {
        extend_lease(membership, identity, step).await?;
    }
    Ok(())
}

async fn report(membership: &Membership, identity: &Identity) -> Result<(), SessionError> {
    let shared = &membership.shared;
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
    let evaluations = match shared.delivers() {
        true => shared
            .evaluations()
            .iter()
            .cloned()
            .map(Into::into)
            .collect(),
        false => Vec::new(),
    };
    let traces = shared.take_traces(STEPS_A_REPORT);
    let request = v1::ReportRequest {
        fence: Some(membership.fence(identity)),
        phase: v1::Phase::from(shared.phase()).into(),
        step: shared.step().0,
        collective_sequence: shared.collective_sequence(),
        progress: shared.progress(),
        draining: shared.is_draining(),
        steps,
        evaluations,
        traces: traces.into_iter().map(Into::into).collect(),
        vitals: Some(shared.vitals().into()),
    };
    let mut client = membership.client();
    let response = membership.once("Report", client.report(request)).await?;
    let acknowledged = Step(response.acknowledged_step);
    shared.set_received(Step(response.received_step));
    shared.outbox().retain(|report| report.step > acknowledged);
    let evaluated = Step(response.acknowledged_evaluation);
    shared
        .evaluations()
        .retain(|evaluation| evaluation.step > evaluated);
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

/// Asks for the right to read lanes further, having committed a step.
async fn extend_lease(
    membership: &Membership,
    identity: &Identity,
    step: Step,
) -> Result<(), SessionError> {
    let request = v1::ExtendLeaseRequest {
        fence: Some(membership.fence(identity)),
        step: step.0,
    };
    let mut client = membership.client();
    let leased = membership.once("ExtendLease", client.extend_lease(request));
    let response = leased.await?;
    membership
        .shared
        .extend_lease(step, Step(response.through_step));
    Ok(())
}
