//! One shard in memory.

use super::pair::Content;
use crate::loader::CAPTION;
use crate::tar::Sample;
use ::tar::{Builder, Header};
use bytes::Bytes;
use std::io;

/// A tar archive that grows by samples. Equal samples make equal bytes: it knows neither time nor
/// owner.
pub(crate) struct Archive {
    builder: Builder<Vec<u8>>,
    samples: u64,
}

impl Default for Archive {
    fn default() -> Self {
        Self {
            builder: Builder::new(Vec::new()),
            samples: 0,
        }
    }
}

impl Archive {
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Appends a sample: its picture, and its caption beside it.
    pub(super) fn add(&mut self, key: &str, content: &Content) -> io::Result<()> {
        self.member(&format!("{key}.{}", content.format), &content.picture)?;
        self.member(&format!("{key}.{CAPTION}"), content.caption.as_bytes())?;
        self.samples += 1;
        Ok(())
    }

    /// Appends a sample of another archive, with all its members.
    pub(crate) fn copy(&mut self, sample: &Sample) -> io::Result<()> {
        for (extension, body) in &sample.members {
            self.member(&format!("{}.{extension}", sample.key), body)?;
        }
        self.samples += 1;
        Ok(())
    }

    fn member(&mut self, name: &str, body: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_size(body.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.builder.append(&header, body)
    }

    /// The whole archive with its end mark.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        self.builder.into_inner().map(Bytes::from)
    }
}
