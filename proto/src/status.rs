//! [`ServiceError`] to a gRPC status and back, in one place.

use crate::v1;
use prost::Message;
use tonic::{Code, Status};
use twinspan_types::{Ended, Generation, Lifetime, Term, WorldSize};

pub use twinspan_types::{Recovery, ServiceError};

/// The status that carries an error: its code for any client, the typed refusal in its details for
/// ours.
#[must_use]
pub fn to_status(error: ServiceError) -> Status {
    let code = match &error {
        ServiceError::NotJoined { .. } => Code::NotFound,
        ServiceError::Fenced { .. } | ServiceError::BuildMismatch { .. } => {
            Code::FailedPrecondition
        }
        ServiceError::Full { .. } => Code::ResourceExhausted,
        ServiceError::RunOver { .. } => Code::Aborted,
        ServiceError::Distrusted { .. } => Code::PermissionDenied,
        ServiceError::Invalid { .. } => Code::InvalidArgument,
        ServiceError::Unavailable { .. } => Code::Unavailable,
    };
    let message = error.to_string();
    let refusal = v1::Refusal {
        kind: Some(error.into()),
    };
    Status::with_details(code, message, refusal.encode_to_vec().into())
}

/// The error that a status carries; a status of another origin (the transport's) is
/// [`ServiceError::Unavailable`] where asking again may help, else [`ServiceError::Invalid`].
#[must_use]
pub fn from_status(status: &Status) -> ServiceError {
    let refusal = v1::Refusal::decode(status.details()).ok();
    if let Some(kind) = refusal.and_then(|refusal| refusal.kind) {
        return kind.into();
    }
    let detail = status.message().to_owned();
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            ServiceError::Unavailable { detail }
        }
        _ => ServiceError::Invalid { detail },
    }
}

type Kind = v1::refusal::Kind;

impl From<ServiceError> for Kind {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotJoined { worker } => Self::NotJoined(v1::NotJoined { worker }),
            ServiceError::Fenced { ours, theirs } => Self::Fenced(v1::Fenced {
                our_term: ours.term.0,
                our_generation: ours.generation.0,
                their_term: theirs.term.0,
                their_generation: theirs.generation.0,
            }),
            ServiceError::Full { wanted } => Self::Full(v1::Full { wanted: wanted.0 }),
            ServiceError::BuildMismatch { ours, theirs } => {
                Self::BuildMismatch(v1::BuildMismatch { ours, theirs })
            }
            ServiceError::RunOver { failed, reason } => {
                Self::RunOver(Ended { failed, reason }.into())
            }
            ServiceError::Distrusted { worker, host } => {
                Self::Distrusted(v1::Distrusted { worker, host })
            }
            ServiceError::Invalid { detail } => Self::Invalid(v1::Invalid { detail }),
            ServiceError::Unavailable { detail } => Self::Unavailable(v1::Unavailable { detail }),
        }
    }
}

impl From<Kind> for ServiceError {
    fn from(kind: Kind) -> Self {
        let lifetime = |term, generation| Lifetime {
            term: Term(term),
            generation: Generation(generation),
        };
        match kind {
            Kind::NotJoined(v1::NotJoined { worker }) => Self::NotJoined { worker },
            Kind::Fenced(fenced) => Self::Fenced {
                ours: lifetime(fenced.our_term, fenced.our_generation),
                theirs: lifetime(fenced.their_term, fenced.their_generation),
            },
            Kind::Full(v1::Full { wanted }) => Self::Full {
                wanted: WorldSize(wanted),
            },
            Kind::BuildMismatch(v1::BuildMismatch { ours, theirs }) => {
                Self::BuildMismatch { ours, theirs }
            }
            Kind::RunOver(v1::Ended { failed, reason }) => Self::RunOver { failed, reason },
            Kind::Distrusted(v1::Distrusted { worker, host }) => Self::Distrusted { worker, host },
            Kind::Invalid(v1::Invalid { detail }) => Self::Invalid { detail },
            Kind::Unavailable(v1::Unavailable { detail }) => Self::Unavailable { detail },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_the_status() {
        let at = |term, generation| Lifetime {
            term: Term(term),
            generation: Generation(generation),
        };
        let text = || "text".to_owned();
        let errors = [
            ServiceError::NotJoined { worker: text() },
            ServiceError::Fenced {
                ours: at(4, 3),
                theirs: at(2, 1),
            },
            ServiceError::Full {
                wanted: WorldSize(4),
            },
            ServiceError::BuildMismatch {
                ours: text(),
                theirs: "other".to_owned(),
            },
            ServiceError::RunOver {
                failed: true,
                reason: text(),
            },
            ServiceError::Distrusted {
                worker: text(),
                host: text(),
            },
            ServiceError::Invalid { detail: text() },
            ServiceError::Unavailable { detail: text() },
        ];
        for error in errors {
            let status = to_status(error.clone());
            assert_eq!(status.message(), error.to_string());
            assert_eq!(from_status(&status), error);
        }
    }

    #[test]
    fn a_status_of_the_transport_is_retried_when_that_may_help() {
        let gone = from_status(&Status::unavailable("connection reset"));
        assert_eq!(gone.recovery(), Recovery::Retry);
        let bad = from_status(&Status::unimplemented("no such call"));
        assert_eq!(bad.recovery(), Recovery::Stop);
    }
}
