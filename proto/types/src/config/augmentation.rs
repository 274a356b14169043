//! The run file's `data.augmentation`: changes of colour that training pictures go through.

use super::reader::{FRACTION, Section};
use serde::{Deserialize, Serialize};

/// open_clip's `AugmentationCfg` without timm, beside the crop. All off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct AugmentationConfig {
    /// How far brightness, contrast, saturation and hue may go. The first three are factors within
    /// that of 1; the hue is a part of the colour circle, at most half.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub color_jitter: Option<[f64; 4]>,
    /// Share of the pictures whose colours change.
    pub color_jitter_prob: f64,
    /// Share of the pictures that become grey.
    pub gray_scale_prob: f64,
}

impl AugmentationConfig {
    /// Whether pictures stay as they are.
    #[must_use]
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}

const EXAMPLE: &str = "give brightness, contrast, saturation and hue, for example \
                       color_jitter: [0.32, 0.32, 0.32, 0.08]";

/// From the `data` section.
pub(super) fn augmentation(data: &mut Section<'_>) -> AugmentationConfig {
    if !data.has("augmentation") {
        // A key without a value is a fault.
        data.take("augmentation");
        return AugmentationConfig::default();
    }
    let mut section = data.section("augmentation");
    let given = section.has("color_jitter");
    let chosen = section.has("color_jitter_prob");
    let config = AugmentationConfig {
        color_jitter: color_jitter(&mut section),
        color_jitter_prob: section.number("color_jitter_prob", 0.0, FRACTION),
        gray_scale_prob: section.number("gray_scale_prob", 0.0, FRACTION),
    };
    if given && !chosen {
        let message = "is missing, and color_jitter does nothing without it; give for example \
                       color_jitter_prob: 0.8";
        section.fault("color_jitter_prob", message);
    }
    if !given && config.color_jitter_prob > 0.0 {
        let message = format!("is missing, and color_jitter_prob needs it; {EXAMPLE}");
        section.fault("color_jitter", message);
    }
    section.finish();
    config
}

fn color_jitter(section: &mut Section<'_>) -> Option<[f64; 4]> {
    let value = section.take("color_jitter")?;
    let numbers = value.as_array().and_then(|list| {
        let numbers: Option<Vec<f64>> = list.iter().map(serde_json::Value::as_f64).collect();
        <[f64; 4]>::try_from(numbers?).ok()
    });
    let Some(most) = numbers else {
        section.fault(
            "color_jitter",
            format!("{value} is not 4 numbers; {EXAMPLE}"),
        );
        return None;
    };
    if most.iter().any(|most| *most < 0.0 || !most.is_finite()) {
        section.fault(
            "color_jitter",
            format!("{value} holds a number below 0; {EXAMPLE}"),
        );
    }
    if most[3] > 0.5 {
        let message = format!(
            "{value}: a hue of {} is more than half the circle, 0.5",
            most[3]
        );
        section.fault("color_jitter", message);
    }
    Some(most)
}
