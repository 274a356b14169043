//! open_clip's transforms: torchvision's geometry, Pillow's antialiased bicubic.

use super::opened::{self, Colours};
use super::resample::{self, Axis};
use super::{Picture, PictureError, color};
use crate::random::Keyed;
use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, IntoImageView, PixelType, ResizeAlg, ResizeOptions, Resizer};
use twinspan_types::Epoch;
use twinspan_types::config::AugmentationConfig;

/// Aspect ratios of the random crop.
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

/// Turns pictures into squares of one size; keeps its buffers, so one a thread.
#[derive(Debug)]
pub struct Transformer {
    size: u32,
    resizer: Resizer,
}

/// A part of a picture in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crop {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

#[cfg(feature = "turbojpeg")]
impl Crop {
    /// The same part, to the next whole pixel, of a picture that is `scale` times smaller and has
    /// this size.
    pub(super) fn scaled_down(self, scale: u32, width: u32, height: u32) -> Self {
        let edge = |edge: u32, most: u32| ((edge + scale / 2) / scale).min(most);
        let (left, top) = (edge(self.left, width - 1), edge(self.top, height - 1));
        Self {
            left,
            top,
            width: edge(self.left + self.width, width).max(left + 1) - left,
            height: edge(self.top + self.height, height).max(top + 1) - top,
        }
    }
}

/// The randomness of one sample's augmentation: a function of these three and nothing else, so
/// that a redo sees the same picture.
pub(crate) fn augmentation(seed: u64, epoch: Epoch, key: &str) -> Keyed {
    Keyed::with_text("augmentation", &[seed, epoch.0], key)
}

impl Transformer {
    /// For squares with sides of `size` pixels.
    #[must_use]
    pub fn new(size: u32) -> Self {
        Self {
            size,
            resizer: Resizer::new(),
        }
    }

    /// Decodes a picture and takes `RandomResizedCrop(size, scale=(crop_scale_min, 1),
    /// ratio=(3/4, 4/3), BICUBIC)` of it, then its changes of colour: a `size x size x 3` picture.
    /// The crop draws first, so it is the same with and without them.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub(crate) fn train(
        &mut self,
        bytes: &[u8],
        crop_scale_min: f64,
        augmentation: &AugmentationConfig,
        random: &mut Keyed,
    ) -> Result<Vec<u8>, PictureError> {
        let choose = |width, height| random_crop(width, height, crop_scale_min, random);
        let (picture, crop) = super::decode_for_crop(bytes, self.size, choose)?;
        let mut square = self.cropped(&picture, crop)?;
        color::augment(&mut square, augmentation, random);
        Ok(square)
    }

    /// Cropped before it is resized: pixels outside do not reach into the filter.
    pub(super) fn cropped(
        &mut self,
        picture: &Picture,
        crop: Crop,
    ) -> Result<Vec<u8>, PictureError> {
        let whole = view(picture)?;
        let part = CroppedImage::new(&whole, crop.left, crop.top, crop.width, crop.height)
            .map_err(|error| PictureError::Corrupt(error.to_string()))?;
        self.resize(&part, ResizeOptions::new())
    }

    /// Decodes a picture and takes `Resize(size, BICUBIC)` of its shorter side, then
    /// `CenterCrop(size)`, then converts to RGB: a `size x size x 3` picture.
    ///
    /// # Errors
    /// As [`decode`](super::decode).
    pub fn eval(&mut self, bytes: &[u8]) -> Result<Vec<u8>, PictureError> {
        let opened = opened::open(bytes)?;
        let (across, down) = self.axes(opened.width, opened.height);
        if across.is_identity() && down.is_identity() {
            let rgb = opened.colours.into_rgb();
            return Ok(resample::nearest(&rgb, across, down));
        }
        Ok(match opened.colours {
            Colours::Rgb(rgb) => resample::bicubic::<3>(&rgb, across, down),
            Colours::Listed(rgb) => resample::nearest(&rgb, across, down),
            Colours::Alpha(mut rgba) => {
                opened::multiply_by_alpha(&mut rgba);
                let mut square = resample::bicubic::<4>(&rgba, across, down);
                opened::divide_by_alpha(&mut square);
                opened::drop_alpha(&square)
            }
            Colours::Ink(cmyk) => {
                Colours::Ink(resample::bicubic::<4>(&cmyk, across, down)).into_rgb()
            }
            Colours::Deep(grey) => {
                Colours::Deep(resample::bicubic_16(&grey, across, down)).into_rgb()
            }
        })
    }

    /// The resize and the crop of the evaluation transform.
    fn axes(&self, width: u32, height: u32) -> (Axis, Axis) {
        let (resized_width, resized_height) = shorter_side_to(self.size, width, height);
        let axis = |whole: u32, resized: u64| Axis {
            whole: whole as usize,
            resized: resized as usize,
            start: half_even((resized - u64::from(self.size)) as f64 / 2.0) as usize,
            kept: self.size as usize,
        };
        (axis(width, resized_width), axis(height, resized_height))
    }

    fn resize(
        &mut self,
        source: &impl IntoImageView,
        options: ResizeOptions,
    ) -> Result<Vec<u8>, PictureError> {
        // Catmull-Rom is the cubic with a = -0.5 that Pillow calls BICUBIC.
        let bicubic = options.resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
        let mut square = Image::new(self.size, self.size, PixelType::U8x3);
        self.resizer
            .resize(source, &mut square, &bicubic)
            .map_err(|error| PictureError::Corrupt(error.to_string()))?;
        Ok(square.into_vec())
    }
}

fn view(picture: &Picture) -> Result<ImageRef<'_>, PictureError> {
    ImageRef::new(picture.width, picture.height, &picture.rgb, PixelType::U8x3)
        .map_err(|error| PictureError::Corrupt(error.to_string()))
}

/// torchvision's `RandomResizedCrop.get_params`.
fn random_crop(width: u32, height: u32, scale_min: f64, random: &mut Keyed) -> Crop {
    let (wide, high) = (f64::from(width), f64::from(height));
    for _ in 0..10 {
        let area = wide * high * random.uniform(scale_min, 1.0);
        let ratio = random.uniform(RATIO.0.ln(), RATIO.1.ln()).exp();
        let crop_width = half_even((area * ratio).sqrt());
        let crop_height = half_even((area / ratio).sqrt());
        if (1.0..=wide).contains(&crop_width) && (1.0..=high).contains(&crop_height) {
            let (crop_width, crop_height) = (crop_width as u32, crop_height as u32);
            let top = random.below(u64::from(height - crop_height) + 1) as u32;
            let left = random.below(u64::from(width - crop_width) + 1) as u32;
            return Crop {
                left,
                top,
                width: crop_width,
                height: crop_height,
            };
        }
    }
    let ratio = wide / high;
    let (crop_width, crop_height) = if ratio < RATIO.0 {
        (width, (half_even(wide / RATIO.0) as u32).clamp(1, height))
    } else if ratio > RATIO.1 {
        ((half_even(high * RATIO.1) as u32).clamp(1, width), height)
    } else {
        (width, height)
    };
    let (left, top) = ((width - crop_width) / 2, (height - crop_height) / 2);
    Crop {
        left,
        top,
        width: crop_width,
        height: crop_height,
    }
}

/// torchvision's size of a picture whose shorter side becomes `size`.
fn shorter_side_to(size: u32, width: u32, height: u32) -> (u64, u64) {
    let size = u64::from(size);
    let (width, height) = (u64::from(width), u64::from(height));
    match width <= height {
        true => (size, size * height / width),
        false => (size * width / height, size),
    }
}

/// Python's `round`.
fn half_even(number: f64) -> f64 {
    number.round_ties_even()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::image::{ImageFormat, RgbImage};
    use std::collections::BTreeSet;

    fn gradient(width: u32, height: u32) -> Picture {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = pixels.flat_map(|(x, y)| [(x * 3) as u8, (y * 5) as u8, ((x + y) * 2) as u8]);
        Picture {
            width,
            height,
            rgb: rgb.collect(),
        }
    }

    fn encoded(picture: &Picture) -> Vec<u8> {
        let rgb = picture.rgb.clone();
        let image = RgbImage::from_raw(picture.width, picture.height, rgb).expect("fits");
        let mut bytes = std::io::Cursor::new(Vec::new());
        image
            .write_to(&mut bytes, ImageFormat::Png)
            .expect("encodes");
        bytes.into_inner()
    }

    /// Pillow's resampling in floating point: separable, support widened when it shrinks.
    fn reference(picture: &Picture, size: (u32, u32)) -> Vec<f64> {
        let weights = |from: u32, to: u32| -> Vec<Vec<f64>> {
            let scale = f64::from(from) / f64::from(to);
            let stretch = scale.max(1.0);
            let cubic = |x: f64| match x.abs() {
                x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
                x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
                _ => 0.0,
            };
            let rows = (0..to).map(|out| {
                let centre = (f64::from(out) + 0.5) * scale;
                let row = (0..from).map(|x| cubic((f64::from(x) + 0.5 - centre) / stretch));
                let row: Vec<f64> = row.collect();
                let sum: f64 = row.iter().sum();
                row.iter().map(|weight| weight / sum).collect()
            });
            rows.collect()
        };
        let (across, down) = (
            weights(picture.width, size.0),
            weights(picture.height, size.1),
        );
        let mut out = Vec::new();
        for row in &down {
            for column in &across {
                for channel in 0..3 {
                    let mut sum = 0.0;
                    for (y, down) in row.iter().enumerate() {
                        for (x, across) in column.iter().enumerate() {
                            let at = (y * picture.width as usize + x) * 3 + channel;
                            sum += down * across * f64::from(picture.rgb[at]);
                        }
                    }
                    out.push(sum.clamp(0.0, 255.0));
                }
            }
        }
        out
    }

    #[test]
    fn resizing_is_pillows_antialiased_bicubic() {
        for (from, to) in [(64, 32), (20, 33), (50, 17)] {
            let picture = gradient(from, from);
            let mut transformer = Transformer::new(to);
            let exact = reference(&picture, (to, to));
            let whole = Crop {
                left: 0,
                top: 0,
                width: from,
                height: from,
            };
            for square in [
                transformer.eval(&encoded(&picture)).expect("resizes"),
                transformer.cropped(&picture, whole).expect("resizes"),
            ] {
                let off = square.iter().zip(&exact);
                let off = off.map(|(ours, exact)| (f64::from(*ours) - exact).abs());
                let worst = off.fold(0.0, f64::max);
                // Both passes round to eight bits.
                assert!(worst < 1.6, "{from} to {to}: {worst}");
            }
        }
    }

    #[test]
    fn the_evaluation_crop_is_what_resizing_everything_leaves() {
        let picture = gradient(50, 31);
        let square = Transformer::new(16).eval(&encoded(&picture));
        let square = square.expect("resizes");
        let (width, height) = shorter_side_to(16, 50, 31);
        assert_eq!((width, height), (25, 16));
        let whole = reference(&picture, (25, 16));
        // round(4.5) is 4: Python rounds halves to even.
        for (row, ours) in square.chunks(16 * 3).enumerate() {
            let exact = &whole[(row * 25 + 4) * 3..][..16 * 3];
            let near = ours
                .iter()
                .zip(exact)
                .all(|(ours, x)| (f64::from(*ours) - x).abs() < 1.6);
            assert!(near, "row {row}");
        }
    }

    #[test]
    fn long_thin_pictures_are_cropped_to_squares() {
        for (width, height) in [(1, 3000), (3000, 1), (7, 5), (1, 1)] {
            let picture = gradient(width, height);
            let mut transformer = Transformer::new(9);
            let png = encoded(&picture);
            assert_eq!(transformer.eval(&png).expect("resizes").len(), 9 * 9 * 3);
            let mut random = augmentation(0, Epoch(0), "key");
            let plain = AugmentationConfig::default();
            let square = transformer.train(&png, 0.9, &plain, &mut random);
            let square = square.expect("resizes");
            assert_eq!(square.len(), 9 * 9 * 3);
        }
    }

    #[test]
    fn crops_keep_to_their_area_and_ratio() {
        let mut random = augmentation(1, Epoch(2), "key");
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            let crop = random_crop(100, 80, 0.5, &mut random);
            assert!(crop.left + crop.width <= 100 && crop.top + crop.height <= 80);
            let area = f64::from(crop.width * crop.height) / 8000.0;
            let ratio = f64::from(crop.width) / f64::from(crop.height);
            assert!(
                (0.48..=1.0).contains(&area) && (0.73..1.36).contains(&ratio),
                "{crop:?}"
            );
            seen.insert((crop.left, crop.top, crop.width, crop.height));
        }
        assert!(seen.len() > 500);
    }

    #[test]
    fn a_whole_crop_of_a_picture_of_the_right_size_is_the_picture() {
        let picture = gradient(32, 32);
        assert_eq!(
            Transformer::new(32).eval(&encoded(&picture)),
            Ok(picture.rgb)
        );
    }
}
