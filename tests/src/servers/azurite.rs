//! Azurite: Microsoft's emulator of Azure Blob Storage.

use super::ports::Ports;
use super::process::ServerProcess;
use super::{StartError, http, installed};
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The container that every server has.
const CONTAINER: &str = "twinspan";
/// The account that every Azurite has, and its key, as Microsoft publishes them.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A shared access signature that this key gives for all that one may do with
/// blobs and containers until 2099: made once, so that none is made here.
const SIGNATURE: &str = "sv=2020-08-04&ss=b&srt=sco&sp=rwdlac&se=2099-01-01T00%3A00%3A00Z\
    &sig=x%2FQXZVVilc6CBdKa9TN6OcrIf0rB%2Fv0F0GVQBOwF7so%3D";

/// A running Azurite with one container; killed on drop.
///
/// It passes over `startFrom`: a client's `list_with_offset` gives all, as
/// from no real store.
#[derive(Debug)]
pub struct Azurite {
    process: ServerProcess,
    ports: Ports,
}

impl Azurite {
    /// Starts a server that keeps its data and its log in `directory`, which
    /// is made where it does not exist, and creates its container.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without the program, otherwise why it
    /// does not serve.
    pub fn start(directory: &Path) -> Result<Self, StartError> {
        let program = installed::find("Azurite", "node_modules/.bin/azurite-blob")?;
        let ports = Ports::reserve(1)?;
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let port = ports.get(0).to_string();
        let flags = [
            "--silent",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--blobPort",
            &port,
            "--location",
        ];
        let mut arguments = Vec::from(flags.map(Into::into));
        arguments.push(data.into());
        let process = ServerProcess {
            name: "Azurite",
            program,
            arguments,
            environment: Vec::new(),
            log: directory.join("azurite.log"),
            running: None,
        };
        let mut azurite = Self { process, ports };
        azurite.restart()?;
        Ok(azurite)
    }

    /// Starts the server again after [`Azurite::stop`] or [`Azurite::kill`],
    /// at the same port and with the data that was saved; a server that runs
    /// is killed first.
    ///
    /// # Errors
    /// Why it does not serve.
    pub fn restart(&mut self) -> Result<(), StartError> {
        let address = self.address();
        self.process
            .start(|| create_container(address, CONTAINER).is_ok())
    }

    /// Ends the server in order: it saves everything first.
    ///
    /// # Errors
    /// `TimedOut` when it does not end; what the system says otherwise.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.stop()
    }

    /// Kills the server as `kill -9` does. Azurite saves every five seconds
    /// and so forgets writes that it has acknowledged, as no real store does:
    /// a test that goes on with the data wants [`Azurite::stop`], or a proxy.
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

    /// Creates another container; one that exists stays as it is.
    ///
    /// # Errors
    /// What the server says when it refuses.
    pub fn create_container(&self, name: &str) -> io::Result<()> {
        create_container(self.address(), name)
    }

    /// Where the server listens, for a proxy in front of it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.get(0)).into()
    }

    /// The account's URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}/{ACCOUNT}", self.address())
    }

    /// The name of the container that the server was started with.
    #[must_use]
    pub const fn container(&self) -> &'static str {
        CONTAINER
    }

    /// The environment of a client of this server that signs with the account's key.
    #[must_use]
    pub fn env(&self) -> Vec<(&'static str, String)> {
        self.env_at(&format!("http://{}", self.address()))
    }

    /// The environment of a client that reaches this server at another URL,
    /// such as a proxy's: only scheme, host and port.
    #[must_use]
    pub fn env_at(&self, url: &str) -> Vec<(&'static str, String)> {
        vec![
            ("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT.to_owned()),
            ("AZURE_STORAGE_ACCOUNT_KEY", ACCOUNT_KEY.to_owned()),
            ("AZURE_STORAGE_ENDPOINT", format!("{url}/{ACCOUNT}")),
            ("AZURE_ALLOW_HTTP", "true".to_owned()),
        ]
    }

    /// As [`Azurite::env`], with a shared access signature in place of the key.
    #[must_use]
    pub fn env_with_sas(&self) -> Vec<(&'static str, String)> {
        let mut env = self.env();
        env.retain(|(key, _)| *key != "AZURE_STORAGE_ACCOUNT_KEY");
        env.push(("AZURE_STORAGE_SAS_TOKEN", SIGNATURE.to_owned()));
        env
    }
}

fn create_container(address: SocketAddr, name: &str) -> io::Result<()> {
    let target = format!("/{ACCOUNT}/{name}?restype=container&{SIGNATURE}");
    match http::status(address, "PUT", &target, b"")? {
        // 409: it exists.
        200..=299 | 409 => Ok(()),
        status => Err(io::Error::other(format!(
            "Azurite answers {status} to a new container {name}"
        ))),
    }
}
