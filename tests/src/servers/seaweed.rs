//! SeaweedFS: a real S3 server.

use super::ports::Ports;
use super::process::ServerProcess;
use super::{StartError, http, installed};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The bucket that every server has.
const BUCKET: &str = "twinspan";
const ACCESS_KEY: &str = "twinspan-test-key";
const SECRET_KEY: &str = "twinspan-test-secret";
/// Any region does; a client must send one.
const REGION: &str = "us-east-1";

/// The parts that listen, each for HTTP and for gRPC, in the reservation's order.
const PARTS: [&str; 5] = ["s3", "filer", "master", "volume", "admin"];
const S3: usize = 0;
const FILER: usize = 1;

/// A running SeaweedFS with one bucket; killed on drop.
#[derive(Debug)]
pub struct Seaweed {
    process: ServerProcess,
    ports: Ports,
}

impl Seaweed {
    /// Starts a server that keeps its data and its log in `directory`, which
    /// is made where it does not exist, and creates its bucket.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without the program, otherwise why it
    /// does not serve.
    pub fn start(directory: &Path) -> Result<Self, StartError> {
        let program = installed::find("SeaweedFS", "python/bin/weed")?;
        let ports = Ports::reserve(PARTS.len())?;
        // The program logs into its directory for temporary files too.
        fs::create_dir_all(directory.join("data"))?;
        fs::create_dir_all(directory.join("tmp"))?;
        let environment = vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.into()),
            ("TMPDIR", directory.join("tmp").into()),
        ];
        let process = ServerProcess {
            name: "SeaweedFS",
            program,
            arguments: arguments(directory, &ports),
            environment,
            log: directory.join("weed.log"),
            running: None,
        };
        let mut seaweed = Self { process, ports };
        seaweed.restart()?;
        Ok(seaweed)
    }

    /// Starts the server again after [`Seaweed::kill`], at the same ports and
    /// with the same data; a server that runs is killed first.
    ///
    /// # Errors
    /// Why it does not serve.
    pub fn restart(&mut self) -> Result<(), StartError> {
        let (s3, filer) = (self.address(), self.local(FILER));
        self.process.start(|| {
            // Signatures are checked, and a volume takes the bucket's writes.
            matches!(http::status(s3, "GET", "/", b""), Ok(403))
                && create_bucket(filer, BUCKET).is_ok()
                && takes_writes(filer)
        })
    }

    /// Kills the server as `kill -9` does.
    ///
    /// # Errors
    /// What the system says when it refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// The id of the server's process while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Creates another bucket; one that exists stays as it is.
    ///
    /// # Errors
    /// What the server says when it refuses.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        create_bucket(self.local(FILER), name)
    }

    /// Where the S3 server listens, for a proxy in front of it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.local(S3)
    }

    /// The S3 server's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The name of the bucket that the server was started with.
    #[must_use]
    pub const fn bucket(&self) -> &'static str {
        BUCKET
    }

    /// The access key's id.
    #[must_use]
    pub const fn access_key(&self) -> &'static str {
        ACCESS_KEY
    }

    /// The access key's secret.
    #[must_use]
    pub const fn secret_key(&self) -> &'static str {
        SECRET_KEY
    }

    /// The environment of a client of this server.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.env_at(&self.endpoint())
    }

    /// The environment of a client that reaches this server at another
    /// endpoint, such as a proxy's.
    #[must_use]
    pub fn env_at(&self, endpoint: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT_URL", endpoint.to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    fn local(&self, place: usize) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.get(place)).into()
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        let _ = self.process.kill();
        // The program puts these there whatever TMPDIR says, and a killed one leaves them.
        for (place, part) in PARTS.iter().enumerate() {
            let port = self.ports.twin(place);
            let _ = fs::remove_file(format!("/tmp/seaweedfs-{part}-grpc-{port}.sock"));
        }
    }
}

fn arguments(directory: &Path, ports: &Ports) -> Vec<OsString> {
    let path = |flag: &str, name: &str| {
        let mut argument = OsString::from(format!("-{flag}="));
        argument.push(directory.join(name));
        argument
    };
    let mut arguments: Vec<OsString> = vec!["mini".into()];
    arguments.extend([
        path("dir", "data"),
        path("filer.localSocket", "filer.sock"),
        path("s3.localSocket", "s3.sock"),
    ]);
    arguments.extend(
        [
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            // A bucket that does not exist is an error, as in a real store.
            "-s3.autoCreateBucket=false",
            // No listeners and no traffic that a test has no use for.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ]
        .map(OsString::from),
    );
    for (place, part) in PARTS.iter().enumerate() {
        arguments.push(format!("-{part}.port={}", ports.get(place)).into());
        arguments.push(format!("-{part}.port.grpc={}", ports.twin(place)).into());
    }
    arguments
}

/// A bucket is a folder of the filer, which asks for no signature.
fn create_bucket(filer: SocketAddr, name: &str) -> io::Result<()> {
    match http::status(filer, "POST", &format!("/buckets/{name}/"), b"")? {
        // 409: it exists.
        200..=299 | 409 => Ok(()),
        status => Err(io::Error::other(format!(
            "the filer answers {status} to a new bucket {name}"
        ))),
    }
}

fn takes_writes(filer: SocketAddr) -> bool {
    let probe = format!("/buckets/{BUCKET}/.probe");
    ["PUT", "DELETE"].iter().all(|method| {
        http::status(filer, method, &probe, b"probe").is_ok_and(|status| status < 300)
    })
}
