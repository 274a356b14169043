//! JPEG by libjpeg-turbo, no larger than a crop needs: a decoder that takes only the low
//! frequencies of each 8 x 8 block gives a picture of half, a quarter or an eighth of the size for
//! a part of the work.

use super::transform::Crop;
use super::{Picture, PictureError, check_size, jpeg};
use turbojpeg::{Colorspace, Decompressor, Image, PixelFormat, ScalingFactor};

/// Scans that a progressive picture has at most: more are an attack on the decoder.
const MOST_SCANS: u32 = 500;
/// The scales that the decoder has vector code for, the smallest first.
const SCALES: [u32; 4] = [8, 4, 2, 1];

/// Decodes a picture for a crop of it that is resized to `size`, at the smallest scale that leaves
/// the crop at least that large; gives the crop as it lies in what was decoded.
pub(super) fn decode_for_crop(
    bytes: &[u8],
    size: u32,
    choose: impl FnOnce(u32, u32) -> Crop,
) -> Result<(Picture, Crop), PictureError> {
    let corrupt = |error: turbojpeg::Error| PictureError::Corrupt(error.to_string());
    let mut decoder = Decompressor::new().map_err(corrupt)?;
    let header = decoder.read_header(bytes).map_err(corrupt)?;
    check_size(header.width as u64, header.height as u64)?;
    if matches!(header.colorspace, Colorspace::CMYK | Colorspace::YCCK) {
        // This decoder does not turn ink into light.
        let picture = Picture::from(jpeg::open(bytes)?);
        let crop = choose(picture.width, picture.height);
        return Ok((picture, crop));
    }
    let side = |length: usize| u32::try_from(length).map_err(|_| PictureError::Empty);
    let crop = choose(side(header.width)?, side(header.height)?);
    let fits = |scale: &u32| crop.width.min(crop.height) / scale >= size;
    let scale = SCALES.into_iter().find(fits).unwrap_or(1);
    let factor = ScalingFactor::new(1, scale as usize);
    let scaled = header.scaled(factor);
    decoder.set_scaling_factor(factor).map_err(corrupt)?;
    decoder.set_scan_limit(MOST_SCANS).map_err(corrupt)?;
    let mut rgb = vec![0; scaled.width * scaled.height * 3];
    let image = Image {
        pixels: rgb.as_mut_slice(),
        width: scaled.width,
        pitch: scaled.width * 3,
        height: scaled.height,
        format: PixelFormat::RGB,
    };
    decoder.decompress(bytes, image).map_err(corrupt)?;
    let (width, height) = (side(scaled.width)?, side(scaled.height)?);
    let picture = Picture { width, height, rgb };
    Ok((picture, crop.scaled_down(scale, width, height)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Transformer;
    use crate::random::Keyed;
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use twinspan_types::config::AugmentationConfig;

    /// A smooth picture, so that what scaling leaves out is little.
    fn encoded(width: u16, height: u16) -> Vec<u8> {
        let wave = |at: u16, length: f32| (f32::from(at) / length).sin() * 60.0 + 120.0;
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = pixels.flat_map(|(x, y)| [wave(x, 31.0), wave(y, 47.0), wave(x + y, 60.0)]);
        let rgb: Vec<u8> = rgb.map(|value| value as u8).collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 95);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder
            .encode(&rgb, width, height, ColorType::Rgb)
            .expect("encodes");
        bytes
    }

    #[test]
    fn a_crop_of_the_scaled_picture_is_that_of_the_whole_one() {
        for (width, height, scale) in [(300, 320, 1), (640, 512, 2), (1021, 1500, 4)] {
            let bytes = encoded(width, height);
            let choose = |width, height| Crop {
                left: width / 20,
                top: height / 30,
                width: width * 9 / 10,
                height: height * 9 / 10,
            };
            let (picture, crop) = decode_for_crop(&bytes, 224, choose).expect("decodes");
            assert_eq!(picture.width, u32::from(width).div_ceil(scale));
            let whole = Picture::from(jpeg::open(&bytes).expect("decodes"));
            let exact = choose(whole.width, whole.height);
            let mut transformer = Transformer::new(224);
            let mut square = |picture, crop| transformer.cropped(picture, crop).expect("resizes");
            let (scaled, full) = (square(&picture, crop), square(&whole, exact));
            let off = scaled.iter().zip(&full).map(|(a, b)| a.abs_diff(*b));
            let (worst, sum) = off.fold((0, 0_u64), |(worst, sum), off| {
                (worst.max(off), sum + u64::from(off))
            });
            let mean = sum as f64 / full.len() as f64;
            assert!(
                worst <= 12 && mean < 1.0,
                "{width}: {worst} at the worst, {mean} on average"
            );
        }
    }

    #[test]
    fn a_truncated_picture_is_an_error() {
        let bytes = encoded(640, 480);
        let mut random = Keyed::new("test", &[]);
        let plain = AugmentationConfig::default();
        let mut train = |bytes: &[u8]| Transformer::new(64).train(bytes, 0.9, &plain, &mut random);
        assert!(train(&bytes).is_ok());
        for length in [2, 100, bytes.len() / 2, bytes.len() - 100] {
            assert!(train(&bytes[..length]).is_err(), "{length} bytes");
        }
    }
}
