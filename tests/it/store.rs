//! What twinspan needs of an object store, asked of every server.

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Short enough that a test of a failure is quick, and no error is hidden for long.
pub fn few_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 2,
        retry_timeout: Duration::from_secs(20),
        ..RetryConfig::default()
    }
}

/// Bounds every request.
pub fn client_options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_timeout(Duration::from_secs(20))
}

/// Writes where nothing is yet.
pub async fn put_if_absent(
    store: &dyn ObjectStore,
    path: &Path,
    bytes: Vec<u8>,
) -> object_store::Result<()> {
    let options = PutOptions::from(PutMode::Create);
    store.put_opts(path, bytes.into(), options).await?;
    Ok(())
}

/// Writes, reads, lists and deletes; leaves `kept` with the content `kept`.
pub async fn check(store: Arc<dyn ObjectStore>) {
    reads_what_was_written(&*store).await;
    one_of_eight_wins(&store).await;
    lists_and_deletes(&*store).await;
    let kept = Path::from("kept");
    store.put(&kept, "kept".into()).await.expect("put");
}

/// [`check`]'s object is there, as after a restart.
pub async fn has_kept(store: &dyn ObjectStore) {
    let got = store.get(&Path::from("kept")).await.expect("get");
    assert_eq!(got.bytes().await.expect("read"), "kept");
}

async fn reads_what_was_written(store: &dyn ObjectStore) {
    // A key with characters that URLs and signatures escape; 6 MB are more than one part inside.
    let path = Path::from("shards/a b+ü=%41/00000.tar");
    let content: Vec<u8> = (0..6_000_000_u32).map(|i| (i % 253) as u8).collect();
    store.put(&path, content.clone().into()).await.expect("put");

    let all = store.get(&path).await.expect("get");
    assert_eq!(all.meta.size, 6_000_000);
    let tag = all.meta.e_tag.clone().expect("an ETag");
    assert!(all.bytes().await.expect("read") == content);

    let head = store.head(&path).await.expect("head");
    assert_eq!((head.size, head.e_tag), (6_000_000, Some(tag.clone())));

    for range in [0..1, 4_194_300..4_194_310, 5_999_990..6_000_000] {
        let part = store.get_range(&path, range.clone()).await.expect("part");
        assert!(part == content[range.start as usize..range.end as usize]);
    }
    let ranges = [10..20, 3_000_000..3_000_100];
    let parts = store.get_ranges(&path, &ranges).await.expect("parts");
    assert!(parts[1] == content[3_000_000..3_000_100]);

    reads_only_if_unchanged(store, &path, tag).await;

    store.put(&path, "new".into()).await.expect("overwritten");
    let now = store.get(&path).await.expect("get").bytes().await;
    assert_eq!(now.expect("read"), "new");
}

async fn reads_only_if_unchanged(store: &dyn ObjectStore, path: &Path, tag: String) {
    let options = |tag: String| object_store::GetOptions {
        if_match: Some(tag),
        range: Some((0..4).into()),
        ..Default::default()
    };
    let same = store.get_opts(path, options(tag)).await.expect("unchanged");
    assert_eq!(same.bytes().await.expect("read").len(), 4);
    let other = store.get_opts(path, options("\"0123\"".to_owned())).await;
    assert!(
        matches!(other, Err(Error::Precondition { .. })),
        "{other:?}"
    );
}

async fn one_of_eight_wins(store: &Arc<dyn ObjectStore>) {
    for round in 0..3 {
        let path = Path::from(format!("log/{round:08}.json"));
        let mut writers = JoinSet::new();
        for writer in 0..8_u8 {
            let (store, path) = (Arc::clone(store), path.clone());
            writers.spawn(async move {
                let result = put_if_absent(&*store, &path, vec![writer; 100]).await;
                (writer, result)
            });
        }
        let mut winners = Vec::new();
        for (writer, result) in writers.join_all().await {
            match result {
                Ok(()) => winners.push(writer),
                Err(Error::AlreadyExists { .. }) => (),
                Err(error) => panic!("neither won nor lost: {error:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "the winners are {winners:?}");
        let got = store.get(&path).await.expect("get").bytes().await;
        assert_eq!(got.expect("read"), vec![winners[0]; 100]);
    }
}

async fn lists_and_deletes(store: &dyn ObjectStore) {
    let names = |prefix: &'static str| async move {
        let listed = store.list(Some(&Path::from(prefix)));
        let metas: Vec<_> = listed.try_collect().await.expect("listed");
        let mut names: Vec<_> = metas.iter().map(|meta| meta.location.to_string()).collect();
        names.sort_unstable();
        names
    };
    for name in ["list/a/1", "list/a/2", "list/b/1", "list/c", "lists/no"] {
        store
            .put(&Path::from(name), name.into())
            .await
            .expect("put");
    }
    let four = ["list/a/1", "list/a/2", "list/b/1", "list/c"];
    assert_eq!(names("list").await, four);

    let level = store.list_with_delimiter(Some(&Path::from("list"))).await;
    let level = level.expect("listed");
    let mut folders: Vec<_> = level.common_prefixes.iter().map(Path::to_string).collect();
    folders.sort_unstable();
    assert_eq!(folders, ["list/a", "list/b"]);
    assert_eq!(level.objects.len(), 1);

    store
        .delete(&Path::from("list/a/1"))
        .await
        .expect("deleted");
    assert_eq!(names("list").await, four[1..]);
    let gone = store.get(&Path::from("list/a/1")).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
}

/// Lists what comes after a name, of what [`check`] has left.
pub async fn lists_from_an_offset(store: &dyn ObjectStore) {
    let offset = Path::from("list/a/2");
    let listed = store.list_with_offset(Some(&Path::from("list")), &offset);
    let after: Vec<_> = listed.try_collect().await.expect("listed");
    assert_eq!(after.len(), 2);
}
