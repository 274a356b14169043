//! Where `tests/install-servers.sh` puts the programs.

use super::StartError;
use std::path::{Path, PathBuf};

/// The path of a program below the servers' directory.
pub(super) fn find(program: &'static str, below: &str) -> Result<PathBuf, StartError> {
    existing(program, directory().join(below))
}

/// The path of a program that is one of the system's packages.
pub(super) fn find_in_system(program: &'static str) -> Result<PathBuf, StartError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.exists());
    found.map_or_else(
        || existing(program, Path::new("/usr/bin").join(program)),
        Ok,
    )
}

fn existing(program: &'static str, path: PathBuf) -> Result<PathBuf, StartError> {
    if path.exists() {
        Ok(path)
    } else {
        Err(StartError::NotInstalled { program, path })
    }
}

fn directory() -> PathBuf {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    // A relative path is meant from the repository's root, as in the script.
    std::env::var_os("TWINSPAN_TEST_SERVERS").map_or_else(
        || repository.join("target/test-servers"),
        |path| repository.join(path),
    )
}
