//! Short runs over a real Azure Blob server and over a stub of Google Cloud Storage: the URL, the
//! credentials and the retries are what differs from S3.

use crate::bucket::Bucket;
use crate::support::{EMOJI, Workspace, bounded_output, metric};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use twinspan_testkit::harness::TempRun;
use twinspan_testkit::servers::{Azurite, GcsStub, or_skip};

const STEPS: u64 = 40;

type Env = Vec<(&'static str, String)>;

/// The toy run below a bucket's URL.
fn workspace(root: &str, env: Env) -> Workspace {
    let mut workspace = Workspace::new(STEPS, |run| {
        let run = run.replace(EMOJI, &format!("{root}/emoji"));
        format!("{run}\noutput: {root}/runs\n")
    });
    workspace.env = env;
    workspace
}

/// The run trains to its end, and its curve is that of the same run over files.
fn trains_as_on_files(workspace: &Workspace, bucket: &Bucket) {
    workspace.train(&["--no-eval"]);
    let files = Workspace::new(STEPS, |run| run);
    files.train(&["--no-eval"]);
    let text = bucket.text("runs/toy/metrics.jsonl");
    assert_eq!(metric(&text, "train/loss"), files.metric("train/loss"));
}

/// Exit code 2 and the error's words.
fn refused(workspace: &Workspace) -> String {
    let front = workspace.start(&[]);
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    errors
}

#[test]
fn a_run_lives_in_azure_and_wrong_credentials_are_named() {
    let directory = TempRun::new().expect("a directory");
    let Some(mut azurite) = or_skip(Azurite::start(directory.path())) else {
        return;
    };
    let mut builder = MicrosoftAzureBuilder::new().with_container_name(azurite.container());
    for (key, value) in azurite.env() {
        let key = key.to_ascii_lowercase().parse().expect("a setting");
        builder = builder.with_config(key, value);
    }
    let bucket = Bucket::new(builder.build().expect("a client"));
    bucket.upload_emoji();
    let root = format!("az://{}", azurite.container());

    let mut env = azurite.env();
    env.retain(|(key, _)| !key.contains("KEY"));
    env.push(("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=".to_owned()));
    let errors = refused(&workspace(&root, env));
    assert!(errors.contains("check the credentials"), "{errors}");
    let nowhere = workspace("az://nowhere", azurite.env());
    let errors = refused(&nowhere);
    assert!(errors.contains("az://nowhere/emoji"), "{errors}");

    // In the middle of a run the server goes away and comes back.
    let run = workspace(&root, azurite.env());
    let front = run.start(&["--no-eval"]);
    bucket.wait_for_checkpoints("runs/toy", 1);
    azurite.stop().expect("stopped");
    azurite.restart().expect("started again");
    let output = bounded_output(front);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    trains_as_on_files(&run, &bucket);
}

#[test]
fn a_run_lives_in_google_cloud_storage_as_far_as_a_stub_can_tell() {
    let directory = TempRun::new().expect("a directory");
    let gcs = GcsStub::start().expect("a stub");
    let env = gcs.env(directory.path()).expect("credentials");
    let mut builder = GoogleCloudStorageBuilder::new().with_bucket_name(gcs.bucket());
    for (key, value) in env.clone() {
        let key = key.to_ascii_lowercase().parse().expect("a setting");
        builder = builder.with_config(key, value);
    }
    let allow = object_store::ClientOptions::new().with_allow_http(true);
    let client = builder.with_client_options(allow).build();
    let bucket = Bucket::new(client.expect("a client"));
    bucket.upload_emoji();
    let root = format!("gs://{}", gcs.bucket());
    let run = workspace(&root, env);

    gcs.fail(403, 1000);
    let errors = refused(&run);
    assert!(errors.contains("check the credentials"), "{errors}");
    gcs.heal();
    // The first answers are those of a store that is overloaded.
    gcs.fail(503, 10);
    trains_as_on_files(&run, &bucket);
    assert!(gcs.counts().injected >= 10, "{:?}", gcs.counts());
}
