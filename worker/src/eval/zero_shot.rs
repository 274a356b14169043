//! Zero-shot classification of a labelled set.

use super::EvalModel;
use super::model::similarities;
use super::prompts::class_embeddings;
use super::retrieval::rank_of;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use twinspan_data::{EvalError, EvalSet};

/// Pictures scored at once.
const BLOCK: usize = 512;

/// How often the right class was among the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZeroShotReport {
    /// Share of pictures whose class came first.
    #[serde(rename = "zeroshot-val-top1")]
    pub top1: f64,
    /// Share of pictures whose class was among the first five.
    #[serde(rename = "zeroshot-val-top5")]
    pub top5: f64,
    /// Pictures.
    pub pictures: usize,
    /// Pictures that could not be used.
    pub skipped: u64,
    /// Classes.
    pub classes: usize,
    /// Prompt templates.
    pub templates: usize,
    /// Time that it took.
    pub seconds: f64,
}

/// Classifies every picture of a set.
///
/// # Errors
/// When the set cannot be read.
pub async fn zero_shot(model: &EvalModel, set: &EvalSet) -> Result<ZeroShotReport, EvalError> {
    let start = Instant::now();
    let classes = class_embeddings(model, &set.classes, &set.templates);
    let mut reader = set.reader(model.image_size());
    let mut ranks = Vec::new();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    loop {
        let sample = reader.next().await?;
        let ended = sample.is_none();
        if let Some(sample) = sample {
            pixels.extend_from_slice(&sample.pixels);
            labels.push(sample.label);
        }
        if ended || labels.len() == BLOCK {
            let scores = similarities(&model.embed_images(&pixels), &classes, model.embed_dim());
            for (scores, label) in scores.chunks(set.classes.len().max(1)).zip(&labels) {
                ranks.push(label.map_or(usize::MAX, |label| rank_of(scores, label)));
            }
            pixels.clear();
            labels.clear();
        }
        if ended {
            break;
        }
    }
    let within = |k: usize| {
        let hits = ranks.iter().filter(|rank| **rank < k).count();
        hits as f64 / ranks.len().max(1) as f64
    };
    Ok(ZeroShotReport {
        top1: within(1),
        top5: within(5),
        pictures: ranks.len(),
        skipped: reader.skipped(),
        classes: set.classes.len(),
        templates: set.templates.len(),
        seconds: start.elapsed().as_secs_f64(),
    })
}
