//! A file that appears whole or not at all.

use super::VectorsError;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A file under another name beside its place, until it is published; dropped before that, it is
/// removed.
#[derive(Debug)]
pub(super) struct Partial {
    target: PathBuf,
    partial: PathBuf,
    published: bool,
}

impl Partial {
    /// Begins the file that will stand at `target`.
    pub(super) fn create(target: &Path) -> Result<(Self, File), VectorsError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let partial = target.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let file = File::create(&partial).map_err(|source| write_error(target, source))?;
        let begun = Self {
            target: target.to_owned(),
            partial,
            published: false,
        };
        Ok((begun, file))
    }

    /// Puts the file in its place once its bytes are on the disk.
    pub(super) fn publish(mut self, file: &File) -> Result<(), VectorsError> {
        file.sync_all()
            .and_then(|()| std::fs::rename(&self.partial, &self.target))
            .map_err(|source| write_error(&self.target, source))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is hidden by its name, and nobody takes it for the file.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

pub(super) fn write_error(file: &Path, source: std::io::Error) -> VectorsError {
    VectorsError::Write {
        file: file.to_owned(),
        source,
    }
}
