//! The stub of Google Cloud Storage through the client that twinspan uses.

use crate::lifetime::one_test;
use crate::store;
use futures::TryStreamExt;
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use std::sync::Arc;
use std::time::Duration;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::proxy::{Fault, FaultyProxy, Plan};
use twinspan_testkit::servers::GcsStub;

/// Set in the process that has the metadata server's address; nothing else sets it.
const IN_THE_CLOUD: &str = "TWINSPAN_TESTKIT_IN_THE_CLOUD";

/// A client with exactly the environment that the stub gives.
fn client(env: Vec<(&'static str, String)>, bucket: &str) -> GoogleCloudStorage {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_client_options(store::client_options())
        .with_retry(store::few_retries());
    for (key, value) in env {
        let key = key.to_ascii_lowercase().parse().expect("a setting");
        builder = builder.with_config(key, value);
    }
    builder.build().expect("a client")
}

/// A stub, a directory with its key, and a client that signs with it.
fn started() -> (GcsStub, TempRun, Arc<GoogleCloudStorage>) {
    let run = TempRun::new().expect("a directory");
    let stub = GcsStub::start().expect("a stub");
    let env = stub.env(run.path()).expect("a key");
    let gcs = Arc::new(client(env, stub.bucket()));
    (stub, run, gcs)
}

#[tokio::test]
async fn the_stub_is_a_store() {
    let (stub, _run, gcs) = started();
    store::check(gcs.clone()).await;
    store::lists_from_an_offset(&*gcs).await;
    store::has_kept(&*gcs).await;
    let counts = stub.counts();
    assert!(counts.gets > 0 && counts.heads > 0 && counts.lists > 0);
    assert!(counts.writes > 24 && counts.deletes == 1);
    assert_eq!((counts.unauthenticated, counts.injected), (0, 0));
}

#[tokio::test]
async fn the_stub_lists_in_pages_with_names_and_folders_once_each() {
    let (stub, _run, gcs) = started();
    for number in 0..20 {
        let name = Path::from(format!("p/{}/<{number:02}>&", number % 9));
        gcs.put(&name, "x".into()).await.expect("put");
    }
    let listed: Vec<_> = gcs.list(None).try_collect().await.expect("listed");
    let mut names: Vec<_> = listed.iter().map(|meta| meta.location.as_ref()).collect();
    names.dedup();
    assert_eq!(names.len(), 20);
    assert!(stub.counts().lists >= 3);
    let level = gcs.list_with_delimiter(Some(&Path::from("p"))).await;
    let level = level.expect("listed");
    assert_eq!((level.common_prefixes.len(), level.objects.len()), (9, 0));
}

#[tokio::test]
async fn the_stub_joins_parts_and_checks_generations() {
    let (_stub, _run, gcs) = started();
    let path = Path::from("parts");
    let mut upload = gcs.put_multipart(&path).await.expect("begun");
    upload.put_part("one ".into()).await.expect("a part");
    upload.put_part("two".into()).await.expect("a part");
    let written = upload.complete().await.expect("complete");
    let got = gcs.get(&path).await.expect("get");
    assert_eq!(got.meta.e_tag, written.e_tag);
    assert_eq!(got.bytes().await.expect("read"), "one two");

    let mut upload = gcs.put_multipart(&path).await.expect("begun");
    upload.put_part("lost".into()).await.expect("a part");
    upload.abort().await.expect("given up");

    let update = |version| {
        let version = UpdateVersion {
            e_tag: None,
            version,
        };
        gcs.put_opts(&path, "new".into(), PutMode::Update(version).into())
    };
    let second = update(written.version.clone()).await.expect("updated");
    let again = update(written.version).await;
    assert!(
        matches!(again, Err(Error::Precondition { .. })),
        "{again:?}"
    );
    assert_eq!(gcs.head(&path).await.expect("head").e_tag, second.e_tag);
}

#[tokio::test]
async fn the_stub_fails_as_often_as_it_is_told_and_counts_it() {
    let (stub, _run, gcs) = started();
    let path = Path::from("x");
    stub.fail(503, 2);
    gcs.put(&path, "x".into()).await.expect("the third try");
    assert_eq!((stub.counts().injected, stub.counts().writes), (2, 3));

    stub.fail(401, 1);
    let get = gcs.get(&path).await;
    assert!(matches!(get, Err(Error::Unauthenticated { .. })), "{get:?}");
    stub.fail(403, 1);
    let get = gcs.get(&path).await;
    assert!(
        matches!(get, Err(Error::PermissionDenied { .. })),
        "{get:?}"
    );

    stub.fail(503, 1_000);
    gcs.get(&path).await.expect_err("too many");
    stub.heal();
    gcs.get(&path).await.expect("get");
}

#[tokio::test]
async fn the_stub_refuses_another_stubs_key_and_unknown_buckets() {
    let (stub, run, _) = started();
    let (other, _other_run, _) = started();
    let path = Path::from("x");
    let wrong = other.env_at(&stub.endpoint(), &run.join("other"));
    let wrong = client(wrong.expect("a key"), stub.bucket());
    let put = wrong.put(&path, "x".into()).await;
    assert!(matches!(put, Err(Error::Unauthenticated { .. })), "{put:?}");
    assert_eq!(stub.counts().unauthenticated, 1);

    let env = stub.env(run.path()).expect("a key");
    let put = client(env, "other").put(&path, "x".into()).await;
    assert!(matches!(put, Err(Error::NotFound { .. })), "{put:?}");
}

#[tokio::test]
async fn a_download_that_breaks_off_on_the_way_is_read_to_its_end() {
    let (stub, run, gcs) = started();
    let path = Path::from("shard");
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 253) as u8).collect();
    gcs.put(&path, content.clone().into()).await.expect("put");
    let plan = Plan::only(Fault::Reset, 11, 400_000..=2_000_000);
    let proxy = FaultyProxy::start(stub.address(), plan).expect("a proxy");
    let env = stub.env_at(&proxy.endpoint(), &run.join("through"));
    let mut retries = store::few_retries();
    retries.max_retries = 30;
    retries.backoff.init_backoff = Duration::from_millis(1);
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(stub.bucket())
        .with_client_options(store::client_options())
        .with_retry(retries);
    for (key, value) in env.expect("a key") {
        builder = builder.with_config(key.to_ascii_lowercase().parse().expect("known"), value);
    }
    let through = builder.build().expect("a client");
    let got = through.get(&path).await.expect("get").bytes().await;
    assert!(got.expect("read to the end") == content);
    assert!(proxy.counts().reset > 0);
}

/// The client reads the metadata server's address from its process's
/// environment alone: so this test runs itself in a process that has it.
#[tokio::test]
async fn tokens_of_the_metadata_server_are_taken_and_end() {
    let name = "gcs::tokens_of_the_metadata_server_are_taken_and_end";
    if std::env::var_os(IN_THE_CLOUD).is_some() {
        let gcs = GoogleCloudStorageBuilder::from_env()
            .with_bucket_name("twinspan")
            .with_retry(store::few_retries())
            .build()
            .expect("a client");
        let put = gcs.put(&Path::from("x"), "x".into()).await;
        put.expect("put");
        return;
    }
    let home = TempRun::new().expect("a directory");
    let stub = GcsStub::start().expect("a stub");
    let mut child = one_test(name);
    child.env(IN_THE_CLOUD, "");
    child.envs(stub.env_with_metadata(home.path()));
    let output = child.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let counts = stub.counts();
    assert_eq!((counts.tokens, counts.writes), (1, 1));

    stub.set_token_lifetime(Duration::ZERO);
    let output = child.output().expect("it runs");
    assert!(!output.status.success());
    assert_eq!(stub.counts().unauthenticated, 1);
}
