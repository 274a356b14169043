//! Object stores by URL: `file`, `s3`, `gs`, `az`, and `http(s)` for reading.

mod aws_profile;
mod directory;
mod error;
mod open;
mod retry;

pub use directory::Directory;
pub use error::StoreError;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use retry::retried;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use url::Url;

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

/// Which client reads a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    File,
    S3,
    Gcs,
    Azure,
    Http,
}

/// A URL, taken apart.
#[derive(Debug, Clone)]
struct Location {
    url: String,
    scheme: Scheme,
    /// Bucket, container or server; empty for files.
    host: String,
    /// `scheme://host`, what all URLs of one client begin with.
    base: String,
    path: Path,
}

/// Clients by bucket, opened as they are needed.
///
/// Each asynchronous runtime needs one of its own: a client's connections are driven by the runtime
/// that opened them.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    clients: Arc<Mutex<HashMap<String, Arc<dyn ObjectStore>>>>,
}

impl Stores {
    /// The store that holds a URL's object, and the object's path in it. Nothing is sent.
    ///
    /// # Errors
    /// When the URL cannot be parsed, its scheme is not supported, or the environment's settings
    /// for it cannot be used.
    pub fn open(&self, url: &str) -> Result<(Arc<dyn ObjectStore>, Path), StoreError> {
        let location = Location::parse(url)?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&location.base) {
            return Ok((Arc::clone(client), location.path));
        }
        let client = open::client(&location)?;
        clients.insert(location.base, Arc::clone(&client));
        Ok((client, location.path))
    }

    /// All objects below a URL that ends in `/`, by URL; none where nothing lies there.
    ///
    /// # Errors
    /// When the store cannot be listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let location = Location::parse(prefix)?;
        if location.scheme == Scheme::Http {
            return Err(StoreError::Unsupported {
                url: prefix.to_owned(),
                reason: "a web server cannot be listed: name the shards, with braces such as \
                         {00000..00099}.tar"
                    .to_owned(),
            });
        }
        let (store, path) = self.open(prefix)?;
        let listing = || async {
            store
                .list(Some(&path))
                .try_collect::<Vec<ObjectMeta>>()
                .await
        };
        let found = match retried(prefix, listing).await {
            // A folder of files; of a bucket it is said that it is missing.
            Err(StoreError::Missing { .. }) if location.scheme == Scheme::File => Vec::new(),
            other => other?,
        };
        let objects = found
            .into_iter()
            .map(|meta| object(location.url_of(&meta.location), meta));
        let mut objects: Vec<Object> = objects.collect();
        objects.sort_by(|a, b| a.url.cmp(&b.url));
        Ok(objects)
    }

    /// Size and tag of one object.
    ///
    /// # Errors
    /// When it does not exist or the store fails.
    pub async fn head(&self, url: &str) -> Result<Object, StoreError> {
        let (store, path) = self.open(url)?;
        let meta = retried(url, || store.head(&path)).await?;
        Ok(object(url.to_owned(), meta))
    }

    /// The whole of a small object, or nothing where it does not exist.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read_if_present(&self, url: &str) -> Result<Option<Bytes>, StoreError> {
        let (store, path) = self.open(url)?;
        let whole = || async { store.get(&path).await?.bytes().await };
        present(retried(url, whole).await)
    }
}

/// What is missing is no error.
fn present<T>(outcome: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match outcome {
        Err(StoreError::Missing { .. }) => Ok(None),
        other => other.map(Some),
    }
}

impl Location {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let bad = |reason: &str| StoreError::BadUrl {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let (name, rest) = url
            .split_once("://")
            .ok_or_else(|| bad("it has no scheme"))?;
        let scheme = match name {
            "file" => Scheme::File,
            "s3" | "s3a" => Scheme::S3,
            "gs" => Scheme::Gcs,
            "az" => Scheme::Azure,
            "http" | "https" => Scheme::Http,
            _ => {
                return Err(StoreError::UnsupportedScheme {
                    url: url.to_owned(),
                    scheme: name.to_owned(),
                });
            }
        };
        let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
        match (scheme, host.is_empty()) {
            (Scheme::File, false) => return Err(bad("a file's URL has three slashes")),
            (Scheme::File, true) => {}
            (_, true) => return Err(bad("it names no bucket or server")),
            (Scheme::Http, false) if rest.contains('?') => {
                return Err(bad("a query is not kept: use a URL without one"));
            }
            (_, false) => {}
        }
        // These URLs have neither query nor fragment: those characters belong to the name.
        let escaped = url.replace('#', "%23").replace('?', "%3F");
        let parsed = Url::parse(&escaped).map_err(|error| bad(&error.to_string()))?;
        let path = Path::from_url_path(parsed.path()).map_err(|error| bad(&error.to_string()))?;
        Ok(Self {
            url: url.to_owned(),
            scheme,
            host: host.to_owned(),
            base: format!("{name}://{host}"),
            path,
        })
    }

    /// The URL of another object of the same store.
    fn url_of(&self, path: &Path) -> String {
        format!("{}/{}", self.base, path.as_ref().replace('%', "%25"))
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

/// A local file's tag is its inode and time, which a copy of the same bytes does not keep: only
/// its size counts. A weak tag matches nothing.
fn object(url: String, meta: ObjectMeta) -> Object {
    let etag = meta
        .e_tag
        .filter(|tag| !url.starts_with("file://") && !tag.starts_with("W/"));
    Object {
        url,
        bytes: meta.size,
        etag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_says_why() {
        let message = |url| {
            Stores::default()
                .open(url)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(message("ftp://server/a.tar").contains("\"ftp\" is not supported"));
        assert!(message("s3:///a.tar").contains("names no bucket"));
        assert!(message("https://server/a.tar?key=1").contains("a query is not kept"));
        assert!(message("/data/a.tar").contains("no scheme"));
        assert!(message("file://data/a.tar").contains("three slashes"));
    }

    #[tokio::test]
    async fn names_with_odd_characters_are_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a b.tar", "50%.tar", "%41.tar", "c#1?.tar"] {
            std::fs::write(folder.path().join(name), name).expect("writes");
        }
        let stores = Stores::default();
        let found = stores
            .list(&format!("file://{}/", folder.path().display()))
            .await
            .expect("lists");
        assert_eq!(found.len(), 4);
        for object in found {
            let bytes = stores
                .read_if_present(&object.url)
                .await
                .expect("reads")
                .expect("exists");
            assert!(
                object
                    .url
                    .replace("%25", "%")
                    .ends_with(std::str::from_utf8(&bytes).expect("text"))
            );
            assert_eq!(stores.head(&object.url).await.expect("heads"), object);
        }
    }

    #[tokio::test]
    async fn a_range_of_a_file_that_changed_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.tar");
        std::fs::write(&file, [7; 100]).expect("writes");
        let url = format!("file://{}", file.display());
        let stores = Stores::default();
        let object = stores.head(&url).await.expect("heads");
        let (store, path) = stores.open(&url).expect("opens");
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
