//! JPEG by zune-jpeg, which needs no C compiler.

use super::{Picture, PictureError, check_size};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Strict, because the lenient mode paints what is missing of a truncated picture grey.
pub(super) fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    let corrupt = |error: zune_jpeg::errors::DecodeErrors| PictureError::Corrupt(error.to_string());
    let side = usize::from(u16::MAX);
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(corrupt)?;
    let info = decoder.info().ok_or(PictureError::Empty)?;
    check_size(u64::from(info.width), u64::from(info.height))?;
    let rgb = decoder.decode().map_err(corrupt)?;
    Ok(Picture {
        width: u32::from(info.width),
        height: u32::from(info.height),
        rgb,
    })
}
