//! JPEG by zune-jpeg, which needs no C compiler.

use super::opened::{Colours, Opened};
use super::{PictureError, check_size};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Strict, because the lenient mode paints what is missing of a truncated picture grey.
pub(super) fn open(bytes: &[u8]) -> Result<Opened, PictureError> {
    // Some of its errors end in a line break.
    let corrupt = |error: zune_jpeg::errors::DecodeErrors| {
        PictureError::Corrupt(error.to_string().trim_end().to_owned())
    };
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
    // The other kind of ink, YCCK, is turned into light by the decoder.
    let is_ink = decoder.input_colorspace() == Some(ColorSpace::CMYK) && info.components == 4;
    if is_ink {
        decoder.set_options(options.jpeg_set_out_colorspace(ColorSpace::CMYK));
    }
    let samples = decoder.decode().map_err(corrupt)?;
    Ok(Opened {
        width: u32::from(info.width),
        height: u32::from(info.height),
        colours: match is_ink {
            // Such files hold what ink leaves.
            true => Colours::Ink(samples.into_iter().map(|value| 255 - value).collect()),
            false => Colours::Rgb(samples),
        },
    })
}
