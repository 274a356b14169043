//! A bucket as the tests see it: what lies in it, whoever put it there.

use crate::support::EMOJI;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Longest wait for an object.
const BOUND: Duration = Duration::from_secs(120);

/// A bucket and the means to wait for it.
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    runtime: Runtime,
}

impl Bucket {
    pub fn new(store: impl ObjectStore) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let store = Arc::new(store);
        Self { store, runtime }
    }

    /// Puts the emoji shards at `emoji/train/`.
    pub fn upload_emoji(&self) {
        for entry in std::fs::read_dir(format!("{EMOJI}/train")).expect("the emoji shards") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            let bytes = std::fs::read(&path).expect("a shard");
            self.put(&format!("emoji/train/{name}"), bytes);
        }
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let path = Path::from(path);
        let put = self.store.put(&path, PutPayload::from(bytes));
        self.runtime.block_on(put).expect("put");
    }

    pub fn delete(&self, path: &str) {
        let path = Path::from(path);
        let delete = self.store.delete(&path);
        self.runtime.block_on(delete).expect("deleted");
    }

    pub fn text(&self, path: &str) -> String {
        let bytes = self.runtime.block_on(async {
            let found = self.store.get(&Path::from(path)).await?;
            found.bytes().await
        });
        String::from_utf8(bytes.expect("an object").to_vec()).expect("text")
    }

    /// All objects below a prefix.
    pub fn list(&self, prefix: &str) -> Vec<String> {
        let prefix = Path::from(prefix);
        let listing = self.store.list(Some(&prefix)).try_collect::<Vec<_>>();
        let objects = self.runtime.block_on(listing).expect("listed");
        objects
            .iter()
            .map(|object| object.location.to_string())
            .collect()
    }

    /// Waits until the run has committed so many checkpoints, retired ones included.
    pub fn wait_for_checkpoints(&self, run: &str, count: usize) {
        let start = Instant::now();
        let committed = || {
            let records = self.list(&format!("{run}/log"));
            let texts = records.iter().map(|record| self.text(record));
            texts
                .filter(|text| text.contains("checkpoint_committed"))
                .count()
        };
        while committed() < count {
            assert!(start.elapsed() < BOUND, "no {count} checkpoints in time");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
