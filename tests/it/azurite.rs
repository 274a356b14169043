//! Azurite through the client that twinspan uses.

use crate::store;
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt};
use std::sync::Arc;
use twinspan_testkit::harness::{TempRun, is_alive};
use twinspan_testkit::proxy::{FaultyProxy, Plan};
use twinspan_testkit::servers::{Azurite, or_skip};

/// A client with exactly the environment that the server gives.
fn client(env: Vec<(&'static str, String)>, container: &str) -> MicrosoftAzure {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_client_options(store::client_options())
        .with_retry(store::few_retries());
    for (key, value) in env {
        let key = key.to_ascii_lowercase().parse().expect("a setting");
        builder = builder.with_config(key, value);
    }
    builder.build().expect("a client")
}

#[tokio::test]
async fn azurite_is_a_store_that_keeps_its_data_through_a_stop() {
    let run = TempRun::new().expect("a directory");
    let Some(mut azurite) = or_skip(Azurite::start(run.path())) else {
        return;
    };
    let azure = Arc::new(client(azurite.env(), azurite.container()));
    store::check(azure.clone()).await;

    azurite.stop().expect("stopped");
    assert_eq!(azurite.pid(), None);
    let nobody = azure.get(&Path::from("kept")).await;
    nobody.expect_err("nobody serves");
    azurite.restart().expect("started again");
    store::has_kept(&*azure).await;

    azurite.kill().expect("killed");
    azurite.restart().expect("started again");
    store::has_kept(&*azure).await;
    let pid = azurite.pid().expect("it runs");
    drop(azurite);
    assert!(!is_alive(pid));
}

#[tokio::test]
async fn azurite_takes_both_kinds_of_credentials_and_refuses_wrong_ones() {
    let run = TempRun::new().expect("a directory");
    let Some(azurite) = or_skip(Azurite::start(run.path())) else {
        return;
    };
    let path = Path::from("x");
    let proxy = FaultyProxy::start(azurite.address(), Plan::calm()).expect("a proxy");
    let by_key = client(azurite.env_at(&proxy.endpoint()), azurite.container());
    by_key.put(&path, "x".into()).await.expect("put");
    assert!(proxy.counts().connections > 0);
    let by_sas = client(azurite.env_with_sas(), azurite.container());
    by_sas.head(&path).await.expect("it is there");

    let mut env = azurite.env();
    env.retain(|(key, _)| *key != "AZURE_STORAGE_ACCOUNT_KEY");
    env.push(("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=".to_owned()));
    let wrong = client(env, azurite.container());
    let put = wrong.put(&path, "x".into()).await;
    assert!(
        matches!(put, Err(Error::PermissionDenied { .. })),
        "{put:?}"
    );
    let get = wrong.get(&path).await;
    assert!(
        matches!(get, Err(Error::PermissionDenied { .. })),
        "{get:?}"
    );

    let other = client(azurite.env(), "other");
    let put = other.put(&path, "x".into()).await;
    assert!(matches!(put, Err(Error::NotFound { .. })), "{put:?}");
    azurite.create_container("other").expect("created");
    other.put(&path, "x".into()).await.expect("put");
}
