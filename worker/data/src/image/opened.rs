//! Pictures in the colours of their files, as Pillow opens them: open_clip resizes before it
//! converts to RGB, which shows where colours cannot be mixed one by one.

use super::{MOST_PIXELS, Picture, PictureError, check_size, format, jpeg};
use ::image::{DynamicImage, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// A decoded picture in the colours of its file.
pub(super) struct Opened {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) colours: Colours,
}

/// What a pixel is.
pub(super) enum Colours {
    /// Red, green, blue; grey has all three equal.
    Rgb(Vec<u8>),
    /// Red, green, blue of a palette, or of black and white: there is nothing between two colours.
    Listed(Vec<u8>),
    /// Red, green, blue and how opaque it is.
    Alpha(Vec<u8>),
    /// Cyan, magenta, yellow, black: 255 is all ink.
    Ink(Vec<u8>),
    /// Grey in 16 bits.
    Deep(Vec<u16>),
}

impl Colours {
    /// Red, green, blue; transparency is dropped. Grey of 16 bits is cut at 255, as Pillow does it,
    /// and not scaled: a vector must not depend on who made it.
    pub(super) fn into_rgb(self) -> Vec<u8> {
        match self {
            Self::Rgb(rgb) | Self::Listed(rgb) => rgb,
            Self::Alpha(rgba) => drop_alpha(&rgba),
            Self::Ink(cmyk) => cmyk.as_chunks().0.iter().flat_map(light_of).collect(),
            Self::Deep(grey) => {
                let cut = grey.into_iter().map(|value| value.min(255) as u8);
                cut.flat_map(|value| [value; 3]).collect()
            }
        }
    }
}

/// `[pixels, 4]` to `[pixels, 3]`.
pub(super) fn drop_alpha(rgba: &[u8]) -> Vec<u8> {
    let pixels = rgba.as_chunks::<4>().0.iter();
    pixels
        .flat_map(|[red, green, blue, _]| [*red, *green, *blue])
        .collect()
}

/// The colour of light that ink leaves.
fn light_of([cyan, magenta, yellow, black]: &[u8; 4]) -> [u8; 3] {
    let white = 255 - black;
    [cyan, magenta, yellow].map(|ink| white - product(white, *ink))
}

/// `a b / 255`, rounded.
fn product(a: u8, b: u8) -> u8 {
    let scaled = u32::from(a) * u32::from(b) + 128;
    (((scaled >> 8) + scaled) >> 8) as u8
}

/// Every colour times its opacity, so that what cannot be seen has no part in a mixture.
pub(super) fn multiply_by_alpha(rgba: &mut [u8]) {
    for pixel in rgba.as_chunks_mut::<4>().0 {
        let alpha = pixel[3];
        for colour in &mut pixel[..3] {
            *colour = product(*colour, alpha);
        }
    }
}

/// The inverse, as far as eight bits allow; the colour of nothing stays as it is.
pub(super) fn divide_by_alpha(rgba: &mut [u8]) {
    for pixel in rgba.as_chunks_mut::<4>().0 {
        let alpha = u32::from(pixel[3]);
        if alpha == 0 {
            continue;
        }
        for colour in &mut pixel[..3] {
            *colour = (255 * u32::from(*colour) / alpha).min(255) as u8;
        }
    }
}

/// Decodes a JPEG, PNG or WebP, told by its first bytes.
///
/// # Errors
/// When the bytes are no picture, are truncated, or break the format's rules.
pub(super) fn open(bytes: &[u8]) -> Result<Opened, PictureError> {
    let opened = match format(bytes) {
        Some("jpg") => jpeg::open(bytes)?,
        Some("png") => png(bytes)?,
        Some(_) => webp(bytes)?,
        None => return Err(PictureError::UnknownFormat),
    };
    match opened.width.min(opened.height) {
        0 => Err(PictureError::Empty),
        _ => Ok(opened),
    }
}

fn png(bytes: &[u8]) -> Result<Opened, PictureError> {
    let image = decoded(bytes, ImageFormat::Png)?;
    // A picture that decodes begins with its header: signature, length, name, width and height,
    // bits, kind of colour.
    let (bits, kind) = (bytes[24], bytes[25]);
    Ok(opened(image, |image| match (bits, kind) {
        (1, 0) | (_, 3) => Colours::Listed(image.into_rgb8().into_raw()),
        (16, 0) => Colours::Deep(image.into_luma16().into_raw()),
        (_, 4 | 6) => Colours::Alpha(in_8_bits(image).into_rgba8().into_raw()),
        _ => Colours::Rgb(in_8_bits(image).into_rgb8().into_raw()),
    }))
}

fn webp(bytes: &[u8]) -> Result<Opened, PictureError> {
    let image = decoded(bytes, ImageFormat::WebP)?;
    Ok(opened(image, |image| match image.color().has_alpha() {
        true => Colours::Alpha(image.into_rgba8().into_raw()),
        false => Colours::Rgb(image.into_rgb8().into_raw()),
    }))
}

fn opened(image: DynamicImage, colours: impl FnOnce(DynamicImage) -> Colours) -> Opened {
    Opened {
        width: image.width(),
        height: image.height(),
        colours: colours(image),
    }
}

/// The upper half of every 16-bit value.
fn in_8_bits(image: DynamicImage) -> DynamicImage {
    let halve = |value: &mut u16| *value = (*value >> 8) * 257;
    match image {
        DynamicImage::ImageRgb16(mut image) => {
            image.iter_mut().for_each(halve);
            image.into()
        }
        DynamicImage::ImageRgba16(mut image) => {
            image.iter_mut().for_each(halve);
            image.into()
        }
        DynamicImage::ImageLumaA16(mut image) => {
            image.iter_mut().for_each(halve);
            image.into()
        }
        other => other,
    }
}

fn decoded(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, PictureError> {
    let corrupt = |error: ::image::ImageError| PictureError::Corrupt(error.to_string());
    let reader = || ImageReader::with_format(Cursor::new(bytes), format);
    let (width, height) = reader().into_dimensions().map_err(corrupt)?;
    check_size(u64::from(width), u64::from(height))?;
    let mut reader = reader();
    let mut limits = Limits::default();
    // Eight bytes a pixel at most, and as much again for the decoder.
    limits.max_alloc = Some(16 * MOST_PIXELS);
    reader.limits(limits);
    reader.decode().map_err(corrupt)
}

impl From<Opened> for Picture {
    fn from(opened: Opened) -> Self {
        Self {
            width: opened.width,
            height: opened.height,
            rgb: opened.colours.into_rgb(),
        }
    }
}
