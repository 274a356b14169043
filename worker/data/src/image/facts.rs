//! What a picture is, told by decoding all of it.

use super::{PictureError, decode};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Format and size of a picture that decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFacts {
    /// The extension of its format: `jpg`, `png` or `webp`, whatever its file is called.
    pub format: &'static str,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Decodes a picture for what it is. A decoder that panics on some bytes does so in training, too:
/// such a picture is corrupt.
///
/// # Errors
/// As [`decode`].
pub fn facts(bytes: &[u8]) -> Result<PictureFacts, PictureError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| decode(bytes)));
    let panicked = || PictureError::Corrupt("its decoder panicked".to_owned());
    let picture = decoded.map_err(|_| panicked())??;
    Ok(PictureFacts {
        format: format(bytes).ok_or(PictureError::UnknownFormat)?,
        width: picture.width,
        height: picture.height,
    })
}

/// The extension of a picture's format, told by its first bytes as decoding tells it.
pub(crate) fn format(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, ..] => Some("jpg"),
        [0x89, b'P', b'N', b'G', ..] => Some("png"),
        [b'R', b'I', b'F', b'F', ..] if bytes.get(8..12) == Some(b"WEBP") => Some("webp"),
        _ => None,
    }
}
