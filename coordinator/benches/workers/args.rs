//! What is measured.

use crate::Result;
use std::path::PathBuf;

/// The command line.
pub struct Args {
    pub workers: u32,
    /// How long the workers are at work.
    pub seconds: u64,
    /// Given to the coordinator's process alone: the folder of the run.
    pub serve: Option<PathBuf>,
}

impl Args {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut args = Self {
            workers: 1024,
            seconds: 20,
            serve: None,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--workers" => args.workers = value()?.parse::<u32>()?.max(1),
                "--seconds" => args.seconds = value()?.parse::<u64>()?.max(1),
                "--serve" => args.serve = Some(value()?.into()),
                // From cargo.
                "--bench" => {}
                _ => return Err(format!("{name}: give --workers N or --seconds N").into()),
            }
        }
        Ok(args)
    }
}
