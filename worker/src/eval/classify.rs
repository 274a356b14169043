//! Probabilities of labels for pictures.

use super::EvalModel;
use super::embed::embed_pictures;
use super::model::similarities;
use super::prompts::class_embeddings;
use serde::{Deserialize, Serialize};
use twinspan_data::index::OnProgress;
use twinspan_data::{EvalError, PassedOver, Pictures};

/// What pictures show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifyReport {
    /// Prompt templates.
    pub templates: Vec<String>,
    /// The pictures, in the order given.
    pub images: Vec<ClassifiedImage>,
    /// Pictures that could not be used.
    pub passed_over: Vec<PassedOver>,
}

/// What one picture shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassifiedImage {
    /// Its path.
    pub image: String,
    /// Every label, the likeliest first; the probabilities sum to 1.
    pub labels: Vec<LabelProbability>,
}

/// How likely a label is among the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelProbability {
    /// The label.
    pub label: String,
    /// Softmax over labels of logit scale x cosine.
    pub probability: f64,
}

/// Classifies pictures among labels.
///
/// # Errors
/// When a shard cannot be read.
pub async fn classify(
    model: &EvalModel,
    pictures: &Pictures,
    labels: &[String],
    templates: &[String],
    on_progress: OnProgress<'_>,
) -> Result<ClassifyReport, EvalError> {
    let classes = class_embeddings(model, labels, templates);
    let scale = f64::from(model.logit_scale());
    let mut images = Vec::new();
    let each = |image: String, embedding: &[f32]| {
        let cosines = similarities(embedding, &classes, model.embed_dim());
        images.push(ClassifiedImage {
            image,
            labels: ranked(labels, &softmax(&cosines, scale)),
        });
        Ok::<(), EvalError>(())
    };
    let passed_over = embed_pictures(model, pictures, on_progress, each).await?;
    Ok(ClassifyReport {
        templates: templates.to_vec(),
        images,
        passed_over,
    })
}

/// Softmax of `scale x cosines`.
fn softmax(cosines: &[f32], scale: f64) -> Vec<f64> {
    let logits = cosines.iter().map(|cosine| scale * f64::from(*cosine));
    let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// Labels by probability; equal ones stand in their order.
fn ranked(labels: &[String], probabilities: &[f64]) -> Vec<LabelProbability> {
    let pairs = labels.iter().zip(probabilities);
    let mut ranked: Vec<LabelProbability> = pairs
        .map(|(label, probability)| LabelProbability {
            label: label.clone(),
            probability: *probability,
        })
        .collect();
    ranked.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_a_softmax_that_no_scale_overflows() {
        let probabilities = softmax(&[0.2, 0.1], 10.0);
        assert!((probabilities[0] - 1.0 / (1.0 + (-1.0_f64).exp())).abs() < 1e-7);
        let sharp = softmax(&[1.0, -1.0, 0.0], 1e6);
        assert_eq!(sharp, [1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_likeliest_label_comes_first_and_equal_ones_keep_their_order() {
        let labels = ["a", "b", "c"].map(str::to_owned);
        let ranked = ranked(&labels, &[0.2, 0.6, 0.2]);
        let names: Vec<&str> = ranked.iter().map(|one| one.label.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }
}
