//! Pictures: decoding, and open_clip's training and evaluation transforms.

mod color;
mod facts;
mod jpeg;
mod opened;
mod resample;
#[cfg(feature = "turbojpeg")]
mod scaled;
mod transform;

pub(crate) use facts::format;
pub use facts::{PictureFacts, facts};
pub use transform::Transformer;
pub(crate) use transform::augmentation;

use transform::Crop;

/// Pixels of the largest picture, where Pillow, too, refuses to decode.
const MOST_PIXELS: u64 = 178_956_970;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height x width x 3`: red, green, blue.
    pub rgb: Vec<u8>,
}

/// Why a picture cannot be decoded.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PictureError {
    /// Not one of the formats that are read.
    #[error("neither JPEG nor PNG nor WebP")]
    UnknownFormat,
    /// More pixels than any picture has.
    #[error("{width} x {height} pixels are more than {MOST_PIXELS}")]
    TooLarge {
        /// Pixels in a row.
        width: u64,
        /// Rows.
        height: u64,
    },
    /// A picture without pixels.
    #[error("no pixels")]
    Empty,
    /// The decoder's words.
    #[error("{0}")]
    Corrupt(String),
}

/// Decodes a JPEG, PNG or WebP, told by its first bytes, to RGB. Orientation tags are ignored, and
/// transparency is dropped, as open_clip does.
///
/// # Errors
/// When the bytes are no picture, are truncated, or break the format's rules.
pub fn decode(bytes: &[u8]) -> Result<Picture, PictureError> {
    Ok(opened::open(bytes)?.into())
}

/// Decodes a picture of which a crop is resized to `size`; gives the crop that was chosen by width
/// and height as it lies in what was decoded.
fn decode_for_crop(
    bytes: &[u8],
    size: u32,
    choose: impl FnOnce(u32, u32) -> Crop,
) -> Result<(Picture, Crop), PictureError> {
    #[cfg(feature = "turbojpeg")]
    if format(bytes) == Some("jpg") {
        return scaled::decode_for_crop(bytes, size, choose);
    }
    let _ = size;
    let picture = decode(bytes)?;
    let crop = choose(picture.width, picture.height);
    Ok((picture, crop))
}

fn check_size(width: u64, height: u64) -> Result<(), PictureError> {
    match width * height > MOST_PIXELS {
        true => Err(PictureError::TooLarge { width, height }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
    use std::io::Cursor;

    fn encoded(picture: DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).expect("encodes");
        bytes.into_inner()
    }

    #[test]
    fn png_and_webp_decode_to_rgb() {
        let rgb = RgbImage::from_fn(5, 3, |x, y| Rgb([x as u8 * 40, y as u8 * 80, 7]));
        let rgba = RgbaImage::from_fn(5, 3, |x, y| Rgba([x as u8 * 40, y as u8 * 80, 7, 9]));
        for format in [ImageFormat::Png, ImageFormat::WebP] {
            let bytes = encoded(rgb.clone().into(), format);
            let picture = decode(&bytes).expect("decodes");
            assert_eq!((picture.width, picture.height), (5, 3));
            assert_eq!(picture.rgb, rgb.as_raw().as_slice());
            assert_eq!(
                decode(&encoded(rgba.clone().into(), format)).expect("decodes"),
                picture
            );
            assert!(decode(&bytes[..bytes.len() / 2]).is_err());
        }
    }

    /// A JPEG of 8 x 8 pixels whose every component is 128 everywhere.
    fn flat_jpeg(components: u8, adobe: Option<u8>) -> Vec<u8> {
        let segment = |marker: u8, content: &[u8]| {
            let length = (content.len() as u16 + 2).to_be_bytes();
            [&[0xff, marker], &length[..], content].concat()
        };
        let each = |entry: fn(u8) -> Vec<u8>| (1..=components).flat_map(entry).collect::<Vec<u8>>();
        // One code of one bit: no difference, or the end of the block.
        let table = |class: u8| [&[class, 1], &[0; 15][..], &[0]].concat();
        let mut bytes = vec![0xff, 0xd8];
        if let Some(transform) = adobe {
            bytes.extend(segment(
                0xee,
                &[b"Adobe\0d\0\0\0\0", &[transform][..]].concat(),
            ));
        }
        bytes.extend(segment(0xdb, &[&[0], &[1; 64][..]].concat()));
        let frame = each(|id| vec![id, 0x11, 0]);
        bytes.extend(segment(
            0xc0,
            &[&[8, 0, 8, 0, 8, components], &frame[..]].concat(),
        ));
        bytes.extend(segment(0xc4, &table(0x00)));
        bytes.extend(segment(0xc4, &table(0x10)));
        let scan = each(|id| vec![id, 0]);
        bytes.extend(segment(
            0xda,
            &[&[components], &scan[..], &[0, 63, 0]].concat(),
        ));
        let unused = 8 - 2 * components;
        bytes.extend([((1_u16 << unused) - 1) as u8, 0xff, 0xd9]);
        bytes
    }

    #[test]
    fn grey_and_cmyk_jpegs_decode_to_what_pillow_makes_of_them() {
        for (components, adobe, grey) in [
            (1, None, 128_u8),
            (3, None, 128),
            (4, Some(0), 64),
            (4, Some(2), 64),
            (4, None, 64),
        ] {
            let picture = decode(&flat_jpeg(components, adobe)).expect("decodes");
            assert_eq!((picture.width, picture.height), (8, 8));
            let near = picture.rgb.iter().all(|value| value.abs_diff(grey) <= 1);
            assert!(
                near,
                "{components} components, {adobe:?}: {:?}",
                &picture.rgb[..3]
            );
        }
    }

    #[test]
    fn what_is_no_picture_is_an_error() {
        assert_eq!(decode(b""), Err(PictureError::UnknownFormat));
        assert_eq!(decode(b"GIF89a"), Err(PictureError::UnknownFormat));
        assert!(decode(&[0xff, 0xd8]).is_err());
        assert!(decode(b"\x89PNG\r\n\x1a\n").is_err());
    }
}
