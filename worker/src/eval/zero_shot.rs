//! Zero-shot classification of a labelled set.

use super::EvalModel;
use super::hits::{ClassHits, rank_of};
use super::model::similarities;
use super::prompts::class_embeddings_telling;
use super::share::embed_share;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use twinspan_data::index::OnProgress;
use twinspan_data::{EvalError, EvalSample, EvalSet, PassedOver, Share};

/// What a share of a set counted: sums, so that the shares' counts together are the set's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroShotCounts {
    /// Pictures and hits of each class.
    pub classes: Vec<ClassHits>,
    /// Pictures that could not be used, sorted.
    pub passed_over: Vec<PassedOver>,
}

/// How often the right class was among the first, under CLIP_benchmark's and open_clip's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ZeroShotReport {
    /// Share of pictures whose class came first.
    #[serde(rename = "zeroshot-val-top1")]
    pub top1: f64,
    /// Share of pictures whose class was among the first five.
    #[serde(rename = "zeroshot-val-top5")]
    pub top5: f64,
    /// Mean over the classes that have pictures of the share of theirs whose class came first.
    pub mean_per_class_recall: f64,
    /// Pictures.
    pub pictures: u64,
    /// Classes.
    pub classes: usize,
    /// Prompt templates.
    pub templates: usize,
    /// Time that it took.
    pub seconds: f64,
    /// Pictures that could not be used.
    pub passed_over: Vec<PassedOver>,
}

impl ZeroShotCounts {
    /// Adds what another share of the same set counted.
    pub fn merge(&mut self, other: Self) {
        super::hits::merge(&mut self.classes, &other.classes);
        self.passed_over.extend(other.passed_over);
        self.passed_over.sort_unstable();
    }
}

impl ZeroShotReport {
    /// From the counts of all shares of a set, which took so long together.
    ///
    /// # Errors
    /// When not one picture was counted.
    pub fn new(counts: ZeroShotCounts, set: &EvalSet, seconds: f64) -> Result<Self, EvalError> {
        let accuracy = super::hits::accuracy(&counts.classes);
        let accuracy = accuracy.ok_or_else(|| super::nothing_to_use(set, &counts.passed_over))?;
        Ok(Self {
            top1: accuracy.top1,
            top5: accuracy.top5,
            mean_per_class_recall: accuracy.mean_per_class_recall,
            pictures: accuracy.samples,
            classes: set.classes.len(),
            templates: set.templates.len(),
            seconds,
            passed_over: counts.passed_over,
        })
    }
}

/// Classifies every picture of a set. Progress is in prompts for `on_classes`, and in the set's own
/// measure for `on_progress`.
///
/// # Errors
/// When the set cannot be read, or holds no picture that can be used.
pub async fn zero_shot(
    model: &EvalModel,
    set: &EvalSet,
    on_classes: OnProgress<'_>,
    on_progress: OnProgress<'_>,
) -> Result<ZeroShotReport, EvalError> {
    let start = Instant::now();
    let classes_ce = class_embeddings_telling(model, &set.classes, &set.templates, on_classes);
    let counts = counts_among(model, set, &classes_ce, Share::WHOLE, on_progress).await?;
    ZeroShotReport::new(counts, set, start.elapsed().as_secs_f64())
}

/// Classifies every picture of a share of a set. Progress is first in prompts, then in the set's own
/// measure.
///
/// # Errors
/// When the set cannot be read.
pub async fn zero_shot_counts(
    model: &EvalModel,
    set: &EvalSet,
    share: Share,
    on_progress: OnProgress<'_>,
) -> Result<ZeroShotCounts, EvalError> {
    let classes_ce = class_embeddings_telling(model, &set.classes, &set.templates, on_progress);
    counts_among(model, set, &classes_ce, share, on_progress).await
}

/// Classifies the pictures of a share among classes with these unit embeddings, [classes, e].
async fn counts_among(
    model: &EvalModel,
    set: &EvalSet,
    classes_ce: &[f32],
    share: Share,
    on_progress: OnProgress<'_>,
) -> Result<ZeroShotCounts, EvalError> {
    let mut classes = vec![ClassHits::default(); set.classes.len()];
    let count = |samples: &[EvalSample], images_be: &[f32]| {
        let scores_bc = similarities(images_be, classes_ce, model.embed_dim());
        let rows = scores_bc.chunks(classes.len().max(1));
        for (scores_c, label) in rows.zip(samples.iter().map(|sample| sample.label)) {
            if let Some(label) = label {
                classes[label].count(rank_of(scores_c, label));
            }
        }
    };
    let mut passed_over = embed_share(model, set, share, on_progress, count).await?;
    passed_over.sort_unstable();
    Ok(ZeroShotCounts {
        classes,
        passed_over,
    })
}
