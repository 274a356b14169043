//! Node, for scripts that drive a browser.

use super::command::{self, Finished};
use super::{StartError, installed};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A Node that runs scripts.
#[derive(Debug, Clone)]
pub struct Node {
    program: PathBuf,
    environment: Vec<(&'static str, PathBuf)>,
}

impl Node {
    /// The installed Node.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without it.
    pub fn find() -> Result<Self, StartError> {
        Ok(Self {
            program: installed::find("Node", "python/bin/node")?,
            environment: Vec::new(),
        })
    }

    /// As [`Node::find`], for scripts that drive a browser: they find
    /// playwright-core's module to import in `TWINSPAN_PLAYWRIGHT` and the
    /// browser to start in `TWINSPAN_CHROMIUM`.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without one of them.
    pub fn with_browser() -> Result<Self, StartError> {
        let module = "node_modules/playwright-core/index.mjs";
        let playwright = installed::find("playwright-core", module)?.canonicalize()?;
        let chromium = installed::find_in_system("chromium")?;
        Ok(Self {
            environment: vec![
                ("TWINSPAN_PLAYWRIGHT", playwright),
                ("TWINSPAN_CHROMIUM", chromium),
            ],
            ..Self::find()?
        })
    }

    /// Runs a script (`.mjs`) to its end, or kills it at the limit.
    ///
    /// # Errors
    /// `TimedOut` with what it printed until the limit; a script that fails
    /// is no error here.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        script: &Path,
        arguments: impl IntoIterator<Item = A>,
        limit: Duration,
    ) -> Result<Finished, StartError> {
        let mut command = Command::new(&self.program);
        command.arg(script).args(arguments);
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        Ok(command::run(&mut command, limit)?)
    }
}
