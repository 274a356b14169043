//! The same work by Python.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCRIPT: &str = include_str!("peer.py");

/// A Python that has the peer's packages.
pub struct Python {
    program: PathBuf,
    script: PathBuf,
}

impl Python {
    /// What `TWINSPAN_BENCH_PYTHON` names, when it is set.
    pub fn from_env(folder: &Path) -> Result<Option<Self>, Box<dyn Error>> {
        let Some(program) = std::env::var_os("TWINSPAN_BENCH_PYTHON") else {
            println!("nothing is compared: TWINSPAN_BENCH_PYTHON names no Python");
            return Ok(None);
        };
        let script = folder.join("peer.py");
        std::fs::write(&script, SCRIPT)?;
        Ok(Some(Self {
            program: std::path::absolute(program)?,
            script,
        }))
    }

    /// Reads batches in a new process, its start not included.
    pub fn samples_per_second(
        &self,
        shards: &[PathBuf],
        batches: usize,
    ) -> Result<f64, Box<dyn Error>> {
        let output = Command::new(&self.program)
            .arg(&self.script)
            .arg(batches.to_string())
            .args(shards)
            .stderr(Stdio::inherit())
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().parse()?),
            false => Err(format!("the Python ended with {}", output.status).into()),
        }
    }
}
