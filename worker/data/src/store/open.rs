//! From a URL to a client, with credentials and settings from the environment.

use super::aws_profile;
use super::retry::client_retries;
use super::{Location, Scheme, StoreError};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::{ClientConfigKey, ObjectStore};
use std::sync::Arc;

/// Longest silence of a server in the middle of an answer.
const READ_TIMEOUT: &str = "30 seconds";
/// Longest time of one request; parts and blocks are small enough for slow lines.
const REQUEST_TIMEOUT: &str = "120 seconds";

/// A client for the store that holds `location`. Nothing is sent yet.
pub(super) fn client(location: &Location) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let failed = |remedy: &str| {
        let (url, remedy) = (location.url.clone(), remedy.to_owned());
        move |source: object_store::Error| StoreError::Settings {
            url,
            remedy,
            source: Box::new(source),
        }
    };
    match location.scheme {
        Scheme::File => Ok(Arc::new(
            LocalFileSystem::new().with_automatic_cleanup(true),
        )),
        Scheme::S3 => {
            let remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, \
                          AWS_REGION, and AWS_ENDPOINT_URL for a server of your own";
            let store = s3(location)?.build().map_err(failed(remedy))?;
            Ok(Arc::new(store))
        }
        Scheme::Gcs => {
            let remedy = "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT";
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(&location.host)
                .with_retry(client_retries());
            for (key, value) in limits() {
                builder = builder.with_config(GoogleConfigKey::Client(key), value);
            }
            if let Some(base) = builder.get_config_value(&GoogleConfigKey::BaseUrl)
                && base.starts_with("http://")
            {
                let key = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
                builder = builder.with_config(key, "true");
            }
            Ok(Arc::new(builder.build().map_err(failed(remedy))?))
        }
        Scheme::Azure => {
            let remedy = "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or \
                          another of Azure's credentials";
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_container_name(&location.host)
                .with_retry(client_retries());
            for (key, value) in limits() {
                builder = builder.with_config(AzureConfigKey::Client(key), value);
            }
            if let Some(endpoint) = builder.get_config_value(&AzureConfigKey::Endpoint)
                && endpoint.starts_with("http://")
            {
                builder = builder.with_allow_http(true);
            }
            Ok(Arc::new(builder.build().map_err(failed(remedy))?))
        }
        Scheme::Http => {
            let mut builder = HttpBuilder::new()
                .with_url(&location.base)
                .with_retry(client_retries())
                .with_config(ClientConfigKey::AllowHttp, "true");
            for (key, value) in limits() {
                builder = builder.with_config(key, value);
            }
            let store = builder.build().map_err(failed("check the URL"))?;
            Ok(Arc::new(store))
        }
    }
}

fn limits() -> [(ClientConfigKey, &'static str); 2] {
    [
        (ClientConfigKey::ReadTimeout, READ_TIMEOUT),
        (ClientConfigKey::Timeout, REQUEST_TIMEOUT),
    ]
}

/// The environment's settings; where it names no key, those of the profile in AWS's own files.
fn s3(location: &Location) -> Result<AmazonS3Builder, StoreError> {
    let mut builder = AmazonS3Builder::from_env()
        .with_bucket_name(&location.host)
        .with_retry(client_retries());
    for (key, value) in limits() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(key), value);
    }
    let is_set = |key| builder.get_config_value(&key).is_some();
    let named = is_set(AmazonS3ConfigKey::AccessKeyId)
        || is_set(AmazonS3ConfigKey::WebIdentityTokenFile)
        || is_set(AmazonS3ConfigKey::ContainerCredentialsRelativeUri)
        || is_set(AmazonS3ConfigKey::ContainerCredentialsFullUri);
    let region = is_set(AmazonS3ConfigKey::Region) || is_set(AmazonS3ConfigKey::DefaultRegion);
    for (key, value) in aws_profile::settings(&location.url, !named, !region)? {
        builder = builder.with_config(key, value);
    }
    let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    let endpoint = endpoints
        .iter()
        .find_map(|key| builder.get_config_value(key));
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    Ok(builder)
}
