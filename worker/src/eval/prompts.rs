//! Classes as vectors (Radford et al. 2021, section 3.1): each is the mean of its prompts'
//! embeddings.

use super::EvalModel;
use twinspan_data::dataset::prompts;

/// One unit row for each class, [classes, e]: the normalised mean of its prompts' unit embeddings.
#[must_use]
pub fn class_embeddings(model: &EvalModel, classes: &[String], templates: &[String]) -> Vec<f32> {
    let e = model.embed_dim();
    let prompts = classes.iter().flat_map(|class| prompts(templates, class));
    let prompts: Vec<Vec<u32>> = prompts
        .map(|prompt| model.tokenizer().encode(&prompt))
        .collect();
    let embeddings = model.embed_texts(&prompts);
    let mut rows = Vec::with_capacity(classes.len() * e);
    for prompts in embeddings.chunks(e * templates.len().max(1)) {
        let mut mean = vec![0.0_f32; e];
        for prompt in prompts.chunks(e) {
            mean.iter_mut()
                .zip(prompt)
                .for_each(|(mean, value)| *mean += value);
        }
        let norm = mean
            .iter()
            .map(|value| value * value)
            .sum::<f32>()
            .sqrt()
            .max(1e-12);
        rows.extend(mean.iter().map(|value| value / norm));
    }
    rows
}
