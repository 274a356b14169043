//! The files below one URL: a run's directory, a checkpoint's.

use super::retry::retried;
use super::{Location, StoreError, Stores, present};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error, ListResult, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart,
};
use std::path::PathBuf;
use std::sync::Arc;

/// Files larger than this are written and read in parts of this size, each repeated by itself.
const PART: usize = 16 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// The files below one URL.
#[derive(Debug, Clone)]
pub struct Directory {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    url: String,
}

impl Directory {
    /// The directory at `url`. Nothing is read or written yet.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open(stores: &Stores, url: &str) -> Result<Self, StoreError> {
        if Location::parse(url)?.scheme == super::Scheme::Http {
            return Err(StoreError::Unsupported {
                url: url.to_owned(),
                reason: "a web server is for reading shards: keep runs in a file, s3, gs or az URL"
                    .to_owned(),
            });
        }
        Self::open_to_read(stores, url)
    }

    /// The directory at `url`, which may be on a web server. Nothing is read yet.
    ///
    /// # Errors
    /// As [`Stores::open`].
    pub fn open_to_read(stores: &Stores, url: &str) -> Result<Self, StoreError> {
        let (store, prefix) = stores.open(url)?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { store, prefix, url })
    }

    /// A directory in a store that was opened elsewhere; `url` is what its files are called.
    #[must_use]
    pub fn over(store: Arc<dyn ObjectStore>, prefix: &str, url: &str) -> Self {
        Self {
            store,
            prefix: Path::from(prefix),
            url: url.to_owned(),
        }
    }

    /// The URL of a file in it.
    #[must_use]
    pub fn url_of(&self, file: &str) -> String {
        format!("{}/{file}", self.url)
    }

    /// The path of a file in it where that is on this machine.
    #[must_use]
    pub fn local_path(&self, file: &str) -> Option<PathBuf> {
        self.url.starts_with("file://").then_some(())?;
        let disk = LocalFileSystem::new();
        disk.path_to_filesystem(&self.path(file)).ok()
    }

    fn path(&self, file: &str) -> Path {
        file.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// A whole file; none where there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(&self, file: &str) -> Result<Option<Bytes>, StoreError> {
        let (path, url) = (self.path(file), self.url_of(file));
        let Some(size) = self.size(file).await? else {
            return Ok(None);
        };
        if size <= PART as u64 {
            let whole = || async { self.store.get(&path).await?.bytes().await };
            return present(retried(&url, whole).await);
        }
        let mut whole = Vec::with_capacity(size as usize);
        let read = self.take_parts(file, size, |part| whole.extend_from_slice(part));
        let read = read.await?;
        Ok(read.map(|()| whole.into()))
    }

    /// Hands a file's bytes to `take`, in order and a part at a time, so that a large file never
    /// lies in memory whole. Gives its size; none where there is no file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read_in_parts(
        &self,
        file: &str,
        take: impl FnMut(&[u8]),
    ) -> Result<Option<u64>, StoreError> {
        let Some(size) = self.size(file).await? else {
            return Ok(None);
        };
        let read = self.take_parts(file, size, take).await?;
        Ok(read.map(|()| size))
    }

    async fn take_parts(
        &self,
        file: &str,
        size: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<()>, StoreError> {
        let (path, url) = (self.path(file), self.url_of(file));
        let ranges = (0..size)
            .step_by(PART)
            .map(|start| start..size.min(start + PART as u64));
        let parts = futures::stream::iter(ranges).map(|range| {
            let (store, path, url) = (&self.store, &path, &url);
            async move { retried(url, || store.get_range(path, range.clone())).await }
        });
        let all = parts.buffered(PARTS_AT_ONCE).try_for_each(|part| {
            take(&part);
            futures::future::ready(Ok(()))
        });
        present(all.await)
    }

    /// A file's size; none where there is no file.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn size(&self, file: &str) -> Result<Option<u64>, StoreError> {
        let path = self.path(file);
        let head = retried(&self.url_of(file), || self.store.head(&path)).await;
        Ok(present(head)?.map(|meta| meta.size))
    }

    /// Writes a whole file that is not there yet: of several writers one wins. A writer whose
    /// answer was lost finds its own bytes and has won.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when another's bytes lie there, or the store fails.
    pub async fn create(&self, file: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (path, url) = (self.path(file), self.url_of(file));
        let put = || self.put(&path, bytes.clone(), PutMode::Create);
        match retried(&url, put).await {
            Err(StoreError::Exists { .. } | StoreError::Changed { .. }) => {
                match self.read(file).await? {
                    Some(found) if found == bytes => Ok(()),
                    _ => Err(StoreError::Exists { url }),
                }
            }
            other => other,
        }
    }

    /// Writes a whole file, over one that is there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&self, file: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (path, url) = (self.path(file), self.url_of(file));
        if bytes.len() <= PART {
            return retried(&url, || self.put(&path, bytes.clone(), PutMode::Overwrite)).await;
        }
        let in_parts = || async {
            let upload = self.store.put_multipart(&path).await?;
            let mut writer = WriteMultipart::new_with_chunk_size(upload, PART);
            for start in (0..bytes.len()).step_by(PART) {
                writer.wait_for_capacity(PARTS_AT_ONCE).await?;
                writer.put(bytes.slice(start..bytes.len().min(start + PART)));
            }
            writer.finish().await.map(|_| ())
        };
        retried(&url, in_parts).await
    }

    async fn put(&self, path: &Path, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        let payload = PutPayload::from_bytes(bytes);
        self.store.put_opts(path, payload, options).await?;
        Ok(())
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, file: &str) -> Result<(), StoreError> {
        let path = self.path(file);
        let remove = || async {
            match self.store.delete(&path).await {
                Err(Error::NotFound { .. }) => Ok(()),
                other => other,
            }
        };
        retried(&self.url_of(file), remove).await
    }

    /// The names of the files directly below a directory, sorted, relative to it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        let objects = self.listing(directory).await?;
        let objects = objects.map(|listed| listed.objects).unwrap_or_default();
        let paths = objects.iter().map(|object| &object.location);
        Ok(file_names(paths))
    }

    /// The names of the folders directly in one of its folders, sorted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn folders(&self, directory: &str) -> Result<Vec<String>, StoreError> {
        let listed = self.listing(directory).await?;
        let prefixes = listed.map(|listed| listed.common_prefixes);
        Ok(file_names(&prefixes.unwrap_or_default()))
    }

    async fn listing(&self, directory: &str) -> Result<Option<ListResult>, StoreError> {
        let prefix = self.path(directory);
        let listing = || async { self.store.list_with_delimiter(Some(&prefix)).await };
        present(retried(&self.url_of(directory), listing).await)
    }
}

fn file_names<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Vec<String> {
    let names = paths.into_iter().filter_map(Path::filename);
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(folder: &tempfile::TempDir) -> Directory {
        let url = format!("file://{}/run/", folder.path().display());
        Directory::open(&Stores::default(), &url).expect("opens")
    }

    #[tokio::test]
    async fn of_two_writers_of_a_new_file_one_wins_and_its_repetition_has_won() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = directory(&folder);
        let [ours, theirs] = [b"ours".as_slice(), b"theirs"].map(Bytes::from_static);
        files.create("log/0.json", ours.clone()).await.expect("won");
        files.create("log/0.json", ours).await.expect("won before");
        let lost = files.create("log/0.json", theirs).await;
        assert!(matches!(lost, Err(StoreError::Exists { .. })));
        let found = files.read("log/0.json").await.expect("reads");
        assert_eq!(found, Some(Bytes::from_static(b"ours")));
    }

    #[tokio::test]
    async fn a_large_file_is_written_and_read_in_parts() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = directory(&folder);
        let bytes: Bytes = (0..2 * PART + 5).map(|i| (i % 251) as u8).collect();
        files.write("model", bytes.clone()).await.expect("written");
        let mut parts = Vec::new();
        let size = files.read_in_parts("model", |part| parts.push(part.to_vec()));
        assert_eq!(size.await.expect("reads"), Some(bytes.len() as u64));
        assert!(parts.iter().all(|part| part.len() <= PART));
        assert_eq!(parts.concat(), bytes);
        assert_eq!(files.read("model").await.expect("reads"), Some(bytes));
    }

    #[tokio::test]
    async fn what_is_missing_is_none_and_removing_it_is_fine() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = directory(&folder);
        assert_eq!(files.read("a").await.expect("reads"), None);
        assert_eq!(files.size("a").await.expect("heads"), None);
        assert_eq!(files.read_in_parts("a", |_| {}).await.expect("none"), None);
        assert!(files.list("a").await.expect("lists").is_empty());
        files.remove("a").await.expect("fine");
    }

    #[test]
    fn a_run_cannot_be_kept_on_a_web_server() {
        let refused = Directory::open(&Stores::default(), "https://server/runs");
        assert!(matches!(refused, Err(StoreError::Unsupported { .. })));
    }
}
