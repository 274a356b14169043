//! Object stores by URL, and reads that are bounded in time and retried.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Waits before the second, third and fourth attempt at a read.
const BACKOFF: [Duration; 3] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_millis(1600),
];

/// Longest time of one attempt without an answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why an object cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not a URL that names an object.
    #[error("{url:?} is not an object's URL ({reason}): write for example file:///data/00000.tar")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A scheme that this build cannot read.
    #[error("{url}: the scheme {scheme:?} is not supported: this build reads file://")]
    UnsupportedScheme {
        /// What was given.
        url: String,
        /// Its scheme.
        scheme: String,
    },
    /// Nothing lies there.
    #[error("{url} does not exist: check its path, or put it back if it was moved")]
    Missing {
        /// Where it should lie.
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
    /// The store failed in every attempt.
    #[error("{url} could not be read in {attempts} attempts: check the store and its permissions")]
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

/// An object as a listing or a head request shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Where it lies.
    pub url: String,
    /// Its size.
    pub bytes: u64,
    /// Its entity tag, where the tag says something of its content.
    pub etag: Option<String>,
}

/// The store that holds a URL's object, and the object's path in it. Nothing is read.
///
/// # Errors
/// When the URL cannot be parsed or its scheme is not supported.
pub fn open(url: &str) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
    let bad = |reason: String| StoreError::BadUrl {
        url: url.to_owned(),
        reason,
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(bad("it has no scheme".to_owned()));
    };
    if scheme != "file" {
        return Err(StoreError::UnsupportedScheme {
            url: url.to_owned(),
            scheme: scheme.to_owned(),
        });
    }
    if !rest.starts_with('/') {
        return Err(bad("a file's URL has three slashes".to_owned()));
    }
    // A file's URL has neither query nor fragment: those characters belong to the name.
    let escaped = url.replace('#', "%23").replace('?', "%3F");
    let parsed = Url::parse(&escaped).map_err(|error| bad(error.to_string()))?;
    let path = Path::from_url_path(parsed.path()).map_err(|error| bad(error.to_string()))?;
    Ok((
        Arc::new(LocalFileSystem::new().with_automatic_cleanup(true)),
        path,
    ))
}

/// All objects below a URL that ends in `/`, by URL; none where nothing lies there.
///
/// # Errors
/// When the store cannot be listed.
pub async fn list(prefix: &str) -> Result<Vec<Object>, StoreError> {
    let (store, path) = open(prefix)?;
    let listing = || async {
        store
            .list(Some(&path))
            .try_collect::<Vec<ObjectMeta>>()
            .await
    };
    let found = match retried(prefix, listing).await {
        Err(StoreError::Missing { .. }) => Vec::new(),
        other => other?,
    };
    let objects = found
        .into_iter()
        .map(|meta| object(url_of(&meta.location), meta));
    let mut objects: Vec<Object> = objects.collect();
    objects.sort_by(|a, b| a.url.cmp(&b.url));
    Ok(objects)
}

/// Size and tag of one object.
///
/// # Errors
/// When it does not exist or the store fails.
pub async fn head(url: &str) -> Result<Object, StoreError> {
    let (store, path) = open(url)?;
    let meta = retried(url, || store.head(&path)).await?;
    Ok(object(url.to_owned(), meta))
}

/// The whole of a small object, or nothing where it does not exist.
///
/// # Errors
/// When the store fails.
pub async fn read_if_present(url: &str) -> Result<Option<Bytes>, StoreError> {
    let (store, path) = open(url)?;
    let whole = || async { store.get(&path).await?.bytes().await };
    match retried(url, whole).await {
        Err(StoreError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// A range of an object that is `expected`; the bytes come in one piece.
pub(crate) async fn read_range(
    store: &dyn ObjectStore,
    path: &Path,
    expected: &Object,
    range: Range<u64>,
) -> Result<Bytes, StoreError> {
    let changed = |detail| StoreError::Changed {
        url: expected.url.clone(),
        detail,
    };
    let attempt = || async {
        let options = GetOptions {
            range: Some(GetRange::Bounded(range.clone())),
            if_match: expected.etag.clone(),
            ..GetOptions::default()
        };
        let found = store.get_opts(path, options).await?;
        let size = found.meta.size;
        Ok((size, found.bytes().await?))
    };
    let (size, bytes) = retried(&expected.url, attempt).await?;
    if size != expected.bytes {
        return Err(changed(format!(
            "{size} bytes now, {} then",
            expected.bytes
        )));
    }
    if bytes.len() as u64 != range.end - range.start {
        return Err(changed(format!("it ends before byte {}", range.end)));
    }
    Ok(bytes)
}

/// Tries again after failures that may pass.
async fn retried<T, F>(url: &str, mut attempt: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = object_store::Result<T>>,
{
    let url = || url.to_owned();
    let mut attempts = 0;
    loop {
        let outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, attempt()).await;
        let wait = BACKOFF.get(attempts);
        attempts += 1;
        match (outcome, wait) {
            (Ok(Ok(value)), _) => return Ok(value),
            (Ok(Err(object_store::Error::NotFound { .. })), _) => {
                return Err(StoreError::Missing { url: url() });
            }
            (Ok(Err(object_store::Error::Precondition { .. })), _) => {
                let detail = "the store has another entity tag for it".to_owned();
                return Err(StoreError::Changed { url: url(), detail });
            }
            (Ok(Err(source)), None) => {
                return Err(StoreError::Failed {
                    url: url(),
                    attempts,
                    source,
                });
            }
            (Err(_), None) => {
                return Err(StoreError::Stalled {
                    url: url(),
                    attempts,
                });
            }
            (outcome, Some(wait)) => {
                let failure = outcome.map_or_else(
                    |late| late.to_string(),
                    |done| match done {
                        Ok(_) => String::new(),
                        Err(error) => error.to_string(),
                    },
                );
                tracing::warn!(url = url(), attempts, failure, "reading again");
                tokio::time::sleep(*wait).await;
            }
        }
    }
}

/// A local file's tag is its inode and time, which a copy of the same bytes does not keep: only
/// its size counts.
fn object(url: String, meta: ObjectMeta) -> Object {
    let etag = meta.e_tag.filter(|_| !url.starts_with("file://"));
    Object {
        url,
        bytes: meta.size,
        etag,
    }
}

fn url_of(location: &Path) -> String {
    format!("file:///{}", location.as_ref().replace('%', "%25"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_says_why() {
        let message = |url| {
            open(url)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(message("s3://bucket/a.tar").contains("\"s3\" is not supported"));
        assert!(message("/data/a.tar").contains("no scheme"));
        assert!(message("file://data/a.tar").contains("three slashes"));
    }

    #[tokio::test]
    async fn names_with_odd_characters_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a b.tar", "50%.tar", "%41.tar", "c#1?.tar"] {
            std::fs::write(folder.path().join(name), name).expect("writes");
        }
        let found = list(&format!("file://{}/", folder.path().display()))
            .await
            .expect("lists");
        assert_eq!(found.len(), 4);
        for object in found {
            let bytes = read_if_present(&object.url)
                .await
                .expect("reads")
                .expect("exists");
            assert!(
                object
                    .url
                    .replace("%25", "%")
                    .ends_with(std::str::from_utf8(&bytes).expect("text"))
            );
            assert_eq!(head(&object.url).await.expect("heads"), object);
        }
    }

    #[tokio::test]
    async fn a_failure_that_passes_is_not_seen_and_one_that_stays_names_the_url() {
        let failing = |times: usize| {
            let mut attempts = 0;
            move || {
                attempts += 1;
                let off = || object_store::Error::Generic {
                    store: "test",
                    source: "off".into(),
                };
                std::future::ready(if attempts > times {
                    Ok(attempts)
                } else {
                    Err(off())
                })
            }
        };
        let (passing, lasting) = tokio::join!(
            retried("file:///a", failing(3)),
            retried("file:///b", failing(4))
        );
        assert_eq!(passing.expect("the fourth attempt succeeds"), 4);
        let error = lasting.expect_err("four attempts fail").to_string();
        assert!(
            error.contains("file:///b could not be read in 4 attempts"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_range_of_a_file_that_changed_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.tar");
        std::fs::write(&file, [7; 100]).expect("writes");
        let url = format!("file://{}", file.display());
        let object = head(&url).await.expect("heads");
        let (store, path) = open(&url).expect("opens");
        let bytes = read_range(store.as_ref(), &path, &object, 10..20)
            .await
            .expect("reads");
        assert_eq!(bytes, [7; 10].as_slice());
        std::fs::write(&file, [7; 99]).expect("writes");
        let error = read_range(store.as_ref(), &path, &object, 10..20)
            .await
            .expect_err("changed");
        assert!(
            error.to_string().contains("99 bytes now, 100 then"),
            "{error}"
        );
        std::fs::remove_file(&file).expect("removes");
        let error = read_range(store.as_ref(), &path, &object, 10..20)
            .await
            .expect_err("gone");
        assert!(matches!(error, StoreError::Missing { .. }));
    }
}
