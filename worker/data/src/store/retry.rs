//! Attempts that are bounded in time and repeated after failures that may pass.
//!
//! The clients of network stores repeat what a server answers with 5xx or 429, and what breaks off
//! in the middle of a body they fetch from the byte where it broke. What is repeated here is the
//! rest: writes whose outcome is not known, answers that cannot be read, silence.

use super::StoreError;
use object_store::{BackoffConfig, Error, RetryConfig};
use std::time::Duration;

/// Waits before the second, third and fourth attempt.
const BACKOFF: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];

/// Longest time of one attempt, the client's own repetitions included.
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);

/// What a client repeats by itself: a server that is gone for a minute is waited for.
pub(super) fn client_retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 30,
        retry_timeout: Duration::from_secs(60),
    }
}

/// Tries until it succeeds, fails for good, or has failed four times.
pub(super) async fn retried<T, F>(
    url: &str,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = object_store::Result<T>>,
{
    let mut attempts = 0;
    loop {
        let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt()).await;
        let wait = BACKOFF.get(attempts);
        attempts += 1;
        let failure = match (outcome, wait) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(error)), None) => return Err(last(url, attempts, error)),
            (Ok(Err(error)), Some(_)) if !may_pass(&error) => {
                return Err(last(url, attempts, error));
            }
            (Ok(Err(error)), Some(_)) => error.to_string(),
            (Err(_), None) => {
                return Err(StoreError::Stalled {
                    url: url.to_owned(),
                    attempts,
                });
            }
            (Err(silence), Some(_)) => silence.to_string(),
        };
        tracing::warn!(url, attempts, failure, "trying again");
        let wait = wait.copied().unwrap_or_default();
        // Workers that fail together must not come back together.
        tokio::time::sleep(wait.mul_f64(0.5 + fastrand::f64())).await;
    }
}

/// Whether the same request may succeed later.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}

fn last(url: &str, attempts: usize, source: Error) -> StoreError {
    let url = url.to_owned();
    match source {
        Error::NotFound { .. } => StoreError::Missing { url, source },
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            StoreError::Refused { url, source }
        }
        Error::AlreadyExists { .. } => StoreError::Exists { url },
        Error::Precondition { .. } => {
            let detail = "the store has another entity tag for it".to_owned();
            StoreError::Changed { url, detail }
        }
        Error::NotSupported { .. } | Error::NotImplemented { .. } => StoreError::Unsupported {
            url,
            reason: source.to_string(),
        },
        source => StoreError::Failed {
            url,
            attempts,
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails so many times, then gives the number of the attempt.
    fn failing(times: usize) -> impl FnMut() -> std::future::Ready<object_store::Result<usize>> {
        let mut attempts = 0;
        move || {
            attempts += 1;
            let off = || Error::Generic {
                store: "test",
                source: "off".into(),
            };
            std::future::ready(if attempts > times {
                Ok(attempts)
            } else {
                Err(off())
            })
        }
    }

    #[tokio::test]
    async fn a_failure_that_passes_is_not_seen_and_one_that_stays_names_the_url() {
        let (passing, lasting) = tokio::join!(
            retried("file:///a", failing(3)),
            retried("file:///b", failing(4))
        );
        assert_eq!(passing.expect("the fourth attempt succeeds"), 4);
        let error = lasting.expect_err("four attempts fail").to_string();
        assert!(
            error.contains("file:///b failed in 4 attempts") && error.contains("off"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_cannot_pass_is_tried_once() {
        let mut attempts = 0;
        let outcome = retried::<(), _>("s3://b/a", || {
            attempts += 1;
            std::future::ready(Err(Error::PermissionDenied {
                path: "a".to_owned(),
                source: "AccessDenied".into(),
            }))
        });
        let error = outcome.await.expect_err("refused");
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert_eq!(attempts, 1);
    }
}
