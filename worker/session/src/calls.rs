//! One RPC, tried until it is answered, refused, or its time is over.

use crate::SessionError;
use crate::trace::traced;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Response, Status};
use twinspan_proto::status::{ServiceError, from_status};

/// Longest time of one attempt.
const ATTEMPT: Duration = Duration::from_secs(5);
/// First pause between attempts; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Repeats an idempotent call for up to `patience` while the coordinator cannot be reached.
pub(crate) async fn call<T, F>(
    url: &str,
    name: &'static str,
    patience: Duration,
    mut attempt: impl FnMut() -> F,
) -> Result<T, SessionError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let last = match timeout(ATTEMPT, traced(name, attempt())).await {
            Ok(Ok(response)) => return Ok(response.into_inner()),
            Ok(Err(status)) if !is_transient(&status) => return Err(refused(name, &status)),
            // A seat may become free: of a worker that is lost, whoever replaces it may come first.
            Ok(Err(status))
                if status.code() == Code::ResourceExhausted
                    && start.elapsed() + pause > patience =>
            {
                return Err(refused(name, &status));
            }
            Ok(Err(status)) => {
                // A worker that takes a dead one's place is early by as much as it takes to be sure.
                if status.code() == Code::ResourceExhausted && !told && start.elapsed() > ATTEMPT {
                    told = true;
                    tracing::info!("waiting for a place: {}", status.message());
                }
                status.message().to_owned()
            }
            Err(_) => format!("no answer within {ATTEMPT:?}"),
        };
        if start.elapsed() + pause > patience {
            return Err(SessionError::Unreachable {
                url: url.to_owned(),
                call: name,
                waited: start.elapsed(),
                last,
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What a refusal asks of this worker.
fn refused(call: &'static str, status: &Status) -> SessionError {
    let reason = status.message().to_owned();
    match from_status(status) {
        ServiceError::Fenced { ours, theirs } if ours.term == theirs.term => {
            SessionError::Superseded { call, reason }
        }
        ServiceError::Fenced { .. } | ServiceError::NotJoined { .. } => {
            SessionError::Evicted { call, reason }
        }
        ServiceError::RunOver { failed, reason } => SessionError::Ended { failed, reason },
        _ => SessionError::Refused { call, reason },
    }
}

fn is_transient(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::ResourceExhausted
    )
}
