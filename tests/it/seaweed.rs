//! SeaweedFS through the client that twinspan uses.

use crate::store;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use std::sync::Arc;
use twinspan_testkit::harness::{TempRun, is_alive};
use twinspan_testkit::proxy::{FaultyProxy, Plan};
use twinspan_testkit::servers::{Seaweed, or_skip};

/// A client with exactly the environment that the server gives.
fn client(env: Vec<(&'static str, String)>, bucket: &str) -> AmazonS3 {
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_client_options(store::client_options())
        .with_retry(store::few_retries());
    for (key, value) in env {
        let key = key.to_ascii_lowercase().parse().expect("a setting");
        builder = builder.with_config(key, value);
    }
    builder.build().expect("a client")
}

#[tokio::test]
async fn seaweed_is_a_store_that_keeps_its_data_through_a_kill() {
    let run = TempRun::new().expect("a directory");
    let Some(mut seaweed) = or_skip(Seaweed::start(run.path())) else {
        return;
    };
    let s3 = Arc::new(client(seaweed.env(), seaweed.bucket()));
    store::check(s3.clone()).await;
    store::lists_from_an_offset(&*s3).await;

    seaweed.kill().expect("killed");
    assert_eq!(seaweed.pid(), None);
    s3.get(&Path::from("kept"))
        .await
        .expect_err("nobody serves");
    seaweed.restart().expect("started again");
    store::has_kept(&*s3).await;
    s3.put(&Path::from("after"), "after".into())
        .await
        .expect("writes go on");

    let pid = seaweed.pid().expect("it runs");
    drop(seaweed);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn seaweed_refuses_wrong_credentials_and_unknown_buckets() {
    let run = TempRun::new().expect("a directory");
    let Some(seaweed) = or_skip(Seaweed::start(run.path())) else {
        return;
    };
    let path = Path::from("x");
    for (wrong, value) in [
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
        ("AWS_ACCESS_KEY_ID", "nobody"),
    ] {
        let mut env = seaweed.env();
        env.retain(|(key, _)| *key != wrong);
        env.push((wrong, value.to_owned()));
        let s3 = client(env, seaweed.bucket());
        let put = s3.put(&path, "x".into()).await;
        assert!(
            matches!(put, Err(Error::PermissionDenied { .. })),
            "{put:?}"
        );
        let get = s3.get(&path).await;
        assert!(
            matches!(get, Err(Error::PermissionDenied { .. })),
            "{get:?}"
        );
    }

    let nowhere = client(seaweed.env(), "nowhere");
    let put = nowhere.put(&path, "x".into()).await;
    assert!(matches!(put, Err(Error::NotFound { .. })), "{put:?}");
    // Another name: the server remembers for a while that a bucket was not there.
    seaweed.create_bucket("other").expect("created");
    let other = client(seaweed.env(), "other");
    other.put(&path, "x".into()).await.expect("put");
}

#[tokio::test]
async fn two_seaweeds_run_side_by_side_and_a_proxy_stands_before_one() {
    let run = TempRun::new().expect("a directory");
    let Some(first) = or_skip(Seaweed::start(&run.join("first"))) else {
        return;
    };
    let second = Seaweed::start(&run.join("second")).expect("a second one");
    let proxy = FaultyProxy::start(first.address(), Plan::calm()).expect("a proxy");
    let path = Path::from("x");
    let through = client(first.env_at(&proxy.endpoint()), first.bucket());
    through.put(&path, "x".into()).await.expect("put");
    assert!(proxy.counts().connections > 0);
    let direct = client(first.env(), first.bucket());
    direct.head(&path).await.expect("it is in the first");
    let elsewhere = client(second.env(), second.bucket()).head(&path).await;
    assert!(matches!(elsewhere, Err(Error::NotFound { .. })));
}
