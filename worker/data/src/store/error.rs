//! Why an object cannot be read or written.

use super::retry::ATTEMPT_TIMEOUT;

/// Why an object cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a URL that names an object.
    #[error(
        "{url:?} is not an object's URL ({reason}): write for example file:///data/00000.tar or \
         s3://bucket/set/00000.tar"
    )]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A scheme that this build does not know.
    #[error("{url}: the scheme {scheme:?} is not supported: use file, s3, gs, az, http or https")]
    UnsupportedScheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// The store's settings or credentials in the environment cannot be used.
    #[error("{url}: {remedy}: {source}")]
    Settings {
        /// What was to be opened.
        url: String,
        /// What to set.
        remedy: String,
        /// The client's words.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing lies there.
    #[error("{url} does not exist: check its path and its bucket, or put it back if it was moved")]
    Missing {
        /// Where it should lie.
        url: String,
        /// The store's words.
        source: object_store::Error,
    },
    /// The store knows who asks, or does not, and refuses.
    #[error("{url}: the store refuses: check the credentials and what they may do: {source}")]
    Refused {
        /// Where it lies.
        url: String,
        /// The store's words.
        source: object_store::Error,
    },
    /// What was to be written for the first time is there already, with another content.
    #[error("{url} exists already: another process has written it")]
    Exists {
        /// Where it lies.
        url: String,
    },
    /// The object is not the one that was indexed.
    #[error(
        "{url} changed since it was indexed ({detail}): put the old one back, or start another run \
         with an index of its own"
    )]
    Changed {
        /// Where it lies.
        url: String,
        /// What differs.
        detail: String,
    },
    /// This store cannot do what is asked of it.
    #[error("{url}: {reason}")]
    Unsupported {
        /// Where it lies.
        url: String,
        /// What it cannot do, and what to do instead.
        reason: String,
    },
    /// The store failed in every attempt.
    #[error(
        "{url} failed in {attempts} attempts: check the store, the network and permissions: {source}"
    )]
    Failed {
        /// Where it lies.
        url: String,
        /// Attempts made.
        attempts: usize,
        /// The last failure.
        source: object_store::Error,
    },
    /// The store did not answer in any attempt.
    #[error(
        "{url}: the store did not answer {attempts} times within {} s: check the network",
        ATTEMPT_TIMEOUT.as_secs()
    )]
    Stalled {
        /// Where it lies.
        url: String,
        /// Attempts made.
        attempts: usize,
    },
}

impl StoreError {
    /// Whether the store may answer later: it failed or was silent, and did not refuse.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::Stalled { .. })
    }

    /// Whether what was given, a URL or credentials, is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::BadUrl { .. }
                | Self::UnsupportedScheme { .. }
                | Self::Settings { .. }
                | Self::Missing { .. }
                | Self::Refused { .. }
                | Self::Unsupported { .. }
        )
    }
}
