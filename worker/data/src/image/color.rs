//! open_clip's changes of colour in training: `color_jitter` and `gray_scale` of its transform
//! without timm, which are torchvision's `ColorJitter` and `Grayscale` on Pillow's pictures.

mod pixels;
#[cfg(test)]
mod tests;

use crate::random::Keyed;
use twinspan_types::config::AugmentationConfig;

/// What a jitter changes.
#[derive(Debug, Clone, Copy)]
enum Part {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

impl Part {
    /// Where its factor, or the hue's turn, is drawn from.
    fn range(self, most: f64) -> (f64, f64) {
        match self {
            Self::Brightness | Self::Contrast | Self::Saturation => {
                ((1.0 - most).max(0.0), 1.0 + most)
            }
            Self::Hue => (-most, most),
        }
    }

    fn change(self, rgb: &mut [u8], factor: f64) {
        match self {
            Self::Brightness => pixels::brightness(rgb, factor),
            Self::Contrast => pixels::contrast(rgb, factor),
            Self::Saturation => pixels::saturation(rgb, factor),
            Self::Hue => pixels::hue(rgb, factor),
        }
    }
}

/// Changes a picture's colours, or leaves them, as chance has it. `rgb` holds pixels of three bytes.
pub(super) fn augment(rgb: &mut [u8], config: &AugmentationConfig, random: &mut Keyed) {
    if let Some(most) = config.color_jitter
        && happens(config.color_jitter_prob, random)
    {
        jitter(rgb, most, random);
    }
    if happens(config.gray_scale_prob, random) {
        pixels::grey(rgb);
    }
}

fn happens(probability: f64, random: &mut Keyed) -> bool {
    random.uniform(0.0, 1.0) < probability
}

/// `ColorJitter(*most)`: the parts in random order, each as far as chance has it. A part with
/// nowhere to go stays out, for a hue that is not turned is rounded all the same.
fn jitter(rgb: &mut [u8], [brightness, contrast, saturation, hue]: [f64; 4], random: &mut Keyed) {
    let mut parts = [
        (Part::Brightness, brightness),
        (Part::Contrast, contrast),
        (Part::Saturation, saturation),
        (Part::Hue, hue),
    ];
    random.shuffle(&mut parts);
    for (part, most) in parts {
        if most > 0.0 {
            let (low, high) = part.range(most);
            part.change(rgb, random.uniform(low, high));
        }
    }
}
