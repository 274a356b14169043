//! A stub of Google Cloud Storage: no server of it can be installed.
//!
//! It speaks the part of the XML API that the `object_store` crate does:
//! objects with ranges and conditions, lists in pages, uploads in parts. Where
//! it knows no better it answers 400, never with a success.

mod answers;
mod identity;
mod objects;
mod request;
mod service;

pub use service::GcsCounts;

use crate::background::Background;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use identity::Identity;
use objects::Objects;
use service::Service;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// The bucket that every stub has.
const BUCKET: &str = "twinspan";

type Shared = Arc<Mutex<Service>>;

/// A running stub of Google Cloud Storage; its objects end with it.
#[derive(Debug)]
pub struct GcsStub {
    background: Background,
    service: Shared,
}

impl GcsStub {
    /// Listens at a free port of 127.0.0.1, with one empty bucket.
    ///
    /// # Errors
    /// What the system says when it gives no port or thread.
    pub fn start() -> io::Result<Self> {
        static STARTED: AtomicU64 = AtomicU64::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let service = Arc::new(Mutex::new(Service {
            bucket: BUCKET,
            identity: Identity::new(format!("key-{}-{number}", std::process::id())),
            objects: Objects::default(),
            failures: VecDeque::new(),
            counts: GcsCounts::default(),
        }));
        let shared = Arc::clone(&service);
        let background = Background::listen("gcs-stub", move |listener| accept(listener, shared))?;
        Ok(Self {
            background,
            service,
        })
    }

    /// Where the stub listens, for a proxy in front of it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.background.address()
    }

    /// The stub's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The name of the bucket.
    #[must_use]
    pub const fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The environment of a client that signs with a service account's key,
    /// whose file is written to `directory`.
    ///
    /// # Errors
    /// What the file system says when it refuses.
    pub fn env(&self, directory: &Path) -> io::Result<Vec<(&'static str, String)>> {
        self.env_at(&self.endpoint(), directory)
    }

    /// As [`GcsStub::env`], for a client that reaches the stub at another
    /// endpoint, such as a proxy's.
    ///
    /// # Errors
    /// What the file system says when it refuses.
    pub fn env_at(
        &self,
        endpoint: &str,
        directory: &Path,
    ) -> io::Result<Vec<(&'static str, String)>> {
        let path = self.write_key(directory)?;
        Ok(vec![
            ("GOOGLE_SERVICE_ACCOUNT", path.display().to_string()),
            ("GOOGLE_BASE_URL", endpoint.to_owned()),
            ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
        ])
    }

    /// The environment of a client on a machine of the cloud, which gets its
    /// tokens from the metadata server. `HOME` is replaced: a user's own
    /// credentials would go before it.
    #[must_use]
    pub fn env_with_metadata(&self, home: &Path) -> Vec<(&'static str, String)> {
        vec![
            ("HOME", home.display().to_string()),
            ("GCE_METADATA_HOST", self.address().to_string()),
            ("GCE_METADATA_IP", self.address().to_string()),
            ("GOOGLE_BASE_URL", self.endpoint()),
            ("GOOGLE_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// How long tokens of the metadata server live that are issued from now
    /// on; an hour at first.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        lock(&self.service).identity.lifetime = lifetime;
    }

    /// Fails the next `times` requests to the bucket with this status, after
    /// those that fail already: 503 as a store under load, 401 as one that
    /// has revoked a key, 403 as one that has withdrawn a right.
    ///
    /// # Panics
    /// If `status` is no HTTP status.
    pub fn fail(&self, status: u16, times: usize) {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        let failures = &mut lock(&self.service).failures;
        failures.extend(std::iter::repeat_n(status, times));
    }

    /// Answers every request properly again.
    pub fn heal(&self) {
        lock(&self.service).failures.clear();
    }

    /// What the stub was asked so far.
    #[must_use]
    pub fn counts(&self) -> GcsCounts {
        lock(&self.service).counts
    }

    fn write_key(&self, directory: &Path) -> io::Result<PathBuf> {
        let path = directory.join("service-account.json");
        let account = lock(&self.service)
            .identity
            .service_account(&self.endpoint());
        fs::create_dir_all(directory)?;
        fs::write(&path, account.to_string())?;
        Ok(path)
    }
}

fn lock(service: &Mutex<Service>) -> MutexGuard<'_, Service> {
    service.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, service: Shared) {
    // Dropped with this future, and every connection with it.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            continue;
        };
        let service = Arc::clone(&service);
        let handle = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let service = Arc::clone(&service);
            async move {
                let (parts, body) = request.into_parts();
                // A body that is cut off is no object: the connection ends here.
                let body = body.collect().await?.to_bytes();
                let answer = lock(&service).handle(&parts, body, SystemTime::now());
                Ok::<_, hyper::Error>(answer)
            }
        });
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), handle));
    }
}
