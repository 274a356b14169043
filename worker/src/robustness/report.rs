//! What the experiment measured.

use super::Accuracy;
use super::meaning::meaning;
use serde::{Deserialize, Serialize};

/// Both models, and what their accuracies mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RobustnessReport {
    /// Classes that are told apart.
    pub classes: usize,
    /// Those of them of which pictures were trained on.
    pub trained_classes: usize,
    /// Pictures that both models were trained on, and that were kept from both.
    pub training_pictures: Held,
    /// Steps of either training.
    pub steps: u64,
    /// Pictures in a step.
    pub global_batch: u32,
    /// Zero-shot CLIP, then the supervised classifier.
    pub models: Vec<ModelAccuracy>,
    /// What that means, in two sentences.
    pub meaning: Vec<String>,
    /// The CLIP model's checkpoint.
    pub checkpoint: String,
    /// Times.
    pub seconds: Seconds,
}

/// The training styles' pictures in two parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Trained on.
    pub held_in: u64,
    /// Measured with.
    pub held_out: u64,
}

/// What took how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Seconds {
    /// CLIP's training: its steps, in whichever attempt they were taken.
    pub clip: f64,
    /// The classifier's.
    pub supervised: f64,
    /// The whole command.
    pub whole: f64,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelAccuracy {
    /// What the model is called.
    pub model: String,
    /// On pictures of the training styles that no model was trained on.
    pub seen: Accuracy,
    /// On the style that is in no training picture.
    pub unseen: Accuracy,
    /// Points of a hundred between the two.
    pub drop_points: f64,
    /// The unseen style's accuracy over the seen ones'; none where that is 0.
    pub share_kept: Option<f64>,
}

impl ModelAccuracy {
    /// From both measurements.
    #[must_use]
    pub fn new(model: String, seen: Accuracy, unseen: Accuracy) -> Self {
        Self {
            model,
            drop_points: 100.0 * (seen.top1 - unseen.top1),
            share_kept: (seen.correct > 0).then(|| unseen.top1 / seen.top1),
            seen,
            unseen,
        }
    }
}

impl RobustnessReport {
    /// With the words that follow from the numbers; none without both models.
    #[must_use]
    pub fn explained(mut self) -> Self {
        if let [clip, supervised] = self.models.as_slice() {
            self.meaning = meaning(clip, supervised);
        }
        self
    }
}
