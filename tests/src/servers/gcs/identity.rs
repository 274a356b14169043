//! Whom the stub lets in: a service account's key, and the tokens of its
//! metadata server.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const EMAIL: &str = "trainer@twinspan-test.iam.gserviceaccount.com";
/// An RSA key made for this file; it opens nothing.
const KEY: &str = include_str!("fake-key.pem");

/// The account and its tokens.
#[derive(Debug)]
pub(super) struct Identity {
    /// The id of the account's key: another stub's key is unknown here.
    key_id: String,
    /// When each token that was issued ends.
    tokens: BTreeMap<String, SystemTime>,
    pub(super) lifetime: Duration,
}

impl Identity {
    pub(super) fn new(key_id: String) -> Self {
        Self {
            key_id,
            tokens: BTreeMap::new(),
            lifetime: Duration::from_secs(3600),
        }
    }

    /// What the cloud's console gives as the account's key file.
    pub(super) fn service_account(&self, base_url: &str) -> Value {
        let begin = KEY.find("-----BEGIN").unwrap_or_default();
        json!({
            "type": "service_account",
            "project_id": "twinspan-test",
            "private_key_id": self.key_id,
            "private_key": &KEY[begin..],
            "client_email": EMAIL,
            "client_id": "1",
            "gcs_base_url": base_url,
        })
    }

    /// A new token as the metadata server gives it to a machine's programs.
    pub(super) fn issue(&mut self, now: SystemTime) -> Value {
        let token = format!("{}-token-{}", self.key_id, self.tokens.len());
        self.tokens.insert(token.clone(), now + self.lifetime);
        json!({
            "access_token": token,
            "expires_in": self.lifetime.as_secs(),
            "token_type": "Bearer",
        })
    }

    /// Whether a request with this `Authorization` may pass.
    pub(super) fn admits(&self, authorization: Option<&str>, now: SystemTime) -> bool {
        let Some(token) = authorization.and_then(|value| value.strip_prefix("Bearer ")) else {
            return false;
        };
        let issued = self.tokens.get(token).is_some_and(|end| *end > now);
        issued || self.signed(token, now) == Some(true)
    }

    /// Whether this is a token that the account's holder signed. The signature
    /// itself is not verified: it is the client library's, and the key public.
    fn signed(&self, token: &str, now: SystemTime) -> Option<bool> {
        let mut parts = token.split('.').map(|part| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
            Some(bytes)
        });
        let header: Value = serde_json::from_slice(&parts.next()??).ok()?;
        let claims: Value = serde_json::from_slice(&parts.next()??).ok()?;
        let signature = parts.next()??;
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs();
        Some(
            header["alg"] == "RS256"
                && header["kid"] == self.key_id.as_str()
                && claims["iss"] == EMAIL
                && claims["iat"].as_u64()? <= now + 1
                && claims["exp"].as_u64()? > now
                && signature.len() == 256,
        )
    }
}
