//! Machines whose links go down: network namespaces, each joined by a cable to a switch that has a
//! namespace of its own.
//!
//! Nothing of the host's network is touched, and tests that run side by side cannot meet. Needs root
//! and iproute2's `ip`; a test without them is skipped with [`or_skip`].

use crate::skip;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The switch's device in its namespace.
const SWITCH: &str = "switch";
/// A machine's end of its cable.
const CARD: &str = "eth0";

/// Machines on one switch, numbered from 0; gone with this value. Processes that still run on them
/// are not: whoever starts one ends it.
#[derive(Debug)]
pub struct Network {
    switch: Namespace,
    machines: Vec<Namespace>,
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Only root makes network namespaces: skip the test.
    #[error("network namespaces need root")]
    NotRoot,
    /// The program is not on this machine: skip the test.
    #[error("there is no `ip` (iproute2): run tests/install-servers.sh as root")]
    NotInstalled,
    /// Root may not do it either, as in a container: skip the test.
    #[error("this machine gives root no network namespaces: {said}")]
    Refused {
        /// The command and its words.
        said: String,
    },
    /// A part of the network cannot be made: the test fails.
    #[error("{said}")]
    Failed {
        /// The command and its words.
        said: String,
    },
    /// A process was refused by the system: the test fails.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The network, or `None` where this machine can have none, with the reason printed: the test then
/// returns.
///
/// # Panics
/// When the network cannot be made for another reason, and when only `ip` is missing where `CI` is
/// `true`: `tests/install-servers.sh` installs it.
#[must_use]
pub fn or_skip(started: Result<Network, NetworkError>) -> Option<Network> {
    match started {
        Ok(network) => Some(network),
        Err(error @ NetworkError::NotInstalled) if skip::in_ci() => {
            panic!("CI must not skip this test: {error}")
        }
        Err(
            error @ (NetworkError::NotRoot
            | NetworkError::NotInstalled
            | NetworkError::Refused { .. }),
        ) => {
            skip::say(error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

impl Network {
    /// Connects so many machines; each has one address, [`Network::address`].
    ///
    /// # Errors
    /// Why this machine can have no network, or what failed.
    pub fn start(machines: u8) -> Result<Self, NetworkError> {
        if !rustix::process::geteuid().is_root() {
            return Err(NetworkError::NotRoot);
        }
        let refused = |error| match error {
            NetworkError::Failed { said } => NetworkError::Refused { said },
            error => error,
        };
        let switch = Namespace::new("switch").map_err(refused)?;
        switch
            .ip(&["link", "add", "name", SWITCH, "type", "bridge"])
            .map_err(refused)?;
        switch.ip(&["link", "set", SWITCH, "up"])?;
        let mut network = Self {
            switch,
            machines: Vec::new(),
        };
        for number in 0..machines {
            network.connect(number)?;
        }
        Ok(network)
    }

    fn connect(&mut self, number: u8) -> Result<(), NetworkError> {
        let machine = Namespace::new(&number.to_string())?;
        let (port, address) = (port(number), format!("{}/24", self.address(number)));
        let cable = ["link", "add", "name", &port, "type", "veth"];
        let far_end = ["peer", "name", CARD, "netns", &machine.name];
        self.switch.ip(&[&cable[..], &far_end].concat())?;
        self.switch
            .ip(&["link", "set", &port, "master", SWITCH, "up"])?;
        machine.ip(&["address", "add", &address, "dev", CARD])?;
        machine.ip(&["link", "set", CARD, "up"])?;
        machine.ip(&["link", "set", "lo", "up"])?;
        self.machines.push(machine);
        Ok(())
    }

    /// Where a machine is reached from the others.
    #[must_use]
    pub const fn address(&self, machine: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, machine + 1)
    }

    /// A command, to be run on a machine. The process that is started is the command's own.
    ///
    /// # Panics
    /// When there is no such machine.
    #[must_use]
    pub fn on(&self, machine: u8, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside
            .args(["netns", "exec", &self.machines[usize::from(machine)].name])
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Takes a machine's link down: what is sent is lost, and no connection is told.
    ///
    /// # Errors
    /// What `ip` says when it fails.
    pub fn cut(&self, machine: u8) -> Result<(), NetworkError> {
        self.switch.ip(&["link", "set", &port(machine), "down"])
    }

    /// Brings the link up again.
    ///
    /// # Errors
    /// What `ip` says when it fails.
    pub fn mend(&self, machine: u8) -> Result<(), NetworkError> {
        self.switch.ip(&["link", "set", &port(machine), "up"])
    }
}

/// The switch's end of a machine's cable.
fn port(machine: u8) -> String {
    format!("port{machine}")
}

/// A network namespace under a name that no other has; removed on drop.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    fn new(role: &str) -> Result<Self, NetworkError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("twinspan-{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// Runs `ip` inside.
    fn ip(&self, arguments: &[&str]) -> Result<(), NetworkError> {
        ip(&[&["-netns", &self.name], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), NetworkError> {
    let run = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let Output { status, stderr, .. } = run.map_err(|error| match error.kind() {
        ErrorKind::NotFound => NetworkError::NotInstalled,
        _ => NetworkError::System(error),
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(NetworkError::Failed {
            said: format!(
                "`ip {}`: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&stderr).trim()
            ),
        }),
    }
}
