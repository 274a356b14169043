//! Classes as vectors (Radford et al. 2021, section 3.1): each is the mean of its prompts'
//! embeddings.

use super::EvalModel;
use twinspan_data::dataset::prompts;
use twinspan_data::index::OnProgress;

/// Prompts that are in memory at once.
const BLOCK: usize = 512;

/// As [`class_embeddings_telling`], told to nobody.
pub(super) fn class_embeddings(
    model: &EvalModel,
    classes: &[String],
    templates: &[String],
) -> Vec<f32> {
    class_embeddings_telling(model, classes, templates, &|_, _| {})
}

/// One unit row for each class, [classes, e]: the normalised mean of its prompts' unit embeddings.
/// Progress is in prompts.
pub(super) fn class_embeddings_telling(
    model: &EvalModel,
    classes: &[String],
    templates: &[String],
    on_progress: OnProgress<'_>,
) -> Vec<f32> {
    let e = model.embed_dim();
    let mut rows = Vec::with_capacity(classes.len() * e);
    for block in classes.chunks((BLOCK / templates.len().max(1)).max(1)) {
        let prompts = block.iter().flat_map(|class| prompts(templates, class));
        let prompts: Vec<Vec<u32>> = prompts
            .map(|prompt| model.tokenizer().encode(&prompt))
            .collect();
        let embeddings = model.embed_texts(&prompts);
        for prompts in embeddings.chunks(e * templates.len().max(1)) {
            rows.extend(mean(prompts, e));
        }
        let done = rows.len() / e * templates.len();
        on_progress(done as u64, (classes.len() * templates.len()) as u64);
    }
    rows
}

/// The normalised mean of rows.
fn mean(rows: &[f32], e: usize) -> Vec<f32> {
    let mut mean = vec![0.0_f32; e];
    for row in rows.chunks(e) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(mean, value)| *mean += value);
    }
    let squares = mean.iter().map(|value| value * value);
    let norm = squares.sum::<f32>().sqrt().max(1e-12);
    mean.iter().map(|value| value / norm).collect()
}
