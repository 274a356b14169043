//! AWS's shared files: `~/.aws/credentials` and `~/.aws/config`, which the S3 client does not read.

use super::StoreError;
use ini::Ini;
use object_store::aws::AmazonS3ConfigKey;
use std::path::{Path, PathBuf};

/// The settings of the profile that the environment chooses (AWS_PROFILE, else `default`): keys and
/// region, as far as they are wanted and written down. A file that is not there says nothing; a
/// profile that AWS_PROFILE names must exist.
pub(super) fn settings(
    url: &str,
    keys: bool,
    region: bool,
) -> Result<Vec<(AmazonS3ConfigKey, String)>, StoreError> {
    let named = std::env::var("AWS_PROFILE").ok();
    let profile = named.as_deref().unwrap_or("default");
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let file = |variable: &str, name: &str| {
        let given = std::env::var_os(variable).map(PathBuf::from);
        given.or_else(|| Some(home.as_ref()?.join(".aws").join(name)))
    };
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = file("AWS_CONFIG_FILE", "config");
    let bad = |file: &Path, reason: String| StoreError::Settings {
        url: url.to_owned(),
        remedy: format!("correct {} or set AWS_ACCESS_KEY_ID", file.display()),
        source: reason.into(),
    };
    let mut found = Vec::new();
    let mut known = false;
    for (path, section) in [
        (credentials.clone(), profile.to_owned()),
        (config, section_of_config(profile)),
    ] {
        let Some(path) = path.filter(|path| path.exists()) else {
            continue;
        };
        let file = Ini::load_from_file(&path).map_err(|error| bad(&path, error.to_string()))?;
        let Some(section) = file.section(Some(section)) else {
            continue;
        };
        known = true;
        let wanted = [
            (keys, "aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
            (
                keys,
                "aws_secret_access_key",
                AmazonS3ConfigKey::SecretAccessKey,
            ),
            (keys, "aws_session_token", AmazonS3ConfigKey::Token),
            (region, "region", AmazonS3ConfigKey::Region),
        ];
        for (wanted, name, key) in wanted {
            let value = section.get(name).filter(|_| wanted);
            found.extend(value.map(|value| (key, value.to_owned())));
        }
    }
    match (named, credentials) {
        (Some(named), Some(path)) if keys && !known => {
            Err(bad(&path, format!("it has no profile [{named}]")))
        }
        _ => Ok(found),
    }
}

/// `config` writes `[profile name]`, but `[default]`.
fn section_of_config(profile: &str) -> String {
    match profile {
        "default" => profile.to_owned(),
        named => format!("profile {named}"),
    }
}
