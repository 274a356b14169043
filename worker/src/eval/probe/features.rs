//! The frozen features of a labelled set.

use crate::eval::EvalModel;
use crate::eval::share::embed_share;
use twinspan_data::index::OnProgress;
use twinspan_data::{EvalError, EvalSample, EvalSet, PassedOver, Share};

/// A labelled set's embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledFeatures {
    /// Where the set lies.
    pub url: String,
    /// What its classes are called; none where they have numbers alone.
    pub names: Vec<String>,
    /// Unit embeddings of its pictures, [n, e].
    pub rows_ne: Vec<f32>,
    /// Their classes, n of them.
    pub labels: Vec<usize>,
    /// Width of an embedding.
    pub e: usize,
    /// Pictures that could not be used, sorted.
    pub passed_over: Vec<PassedOver>,
}

/// Embeds the pictures of a labelled set.
///
/// # Errors
/// When the set cannot be read, or holds no picture that can be used.
pub async fn labelled_features(
    model: &EvalModel,
    set: &EvalSet,
    on_progress: OnProgress<'_>,
) -> Result<LabelledFeatures, EvalError> {
    let (mut rows_ne, mut labels) = (Vec::new(), Vec::new());
    let e = model.embed_dim();
    let each = |samples: &[EvalSample], images_be: &[f32]| {
        for (sample, image_e) in samples.iter().zip(images_be.chunks(e)) {
            if let Some(label) = sample.label {
                rows_ne.extend(image_e);
                labels.push(label);
            }
        }
    };
    let mut passed_over = embed_share(model, set, Share::WHOLE, on_progress, each).await?;
    passed_over.sort_unstable();
    match labels.is_empty() {
        true => Err(crate::eval::nothing_to_use(set, &passed_over)),
        false => Ok(LabelledFeatures {
            url: set.url.clone(),
            names: set.classes.clone(),
            rows_ne,
            labels,
            e,
            passed_over,
        }),
    }
}
