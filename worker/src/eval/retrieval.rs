//! Retrieval between pictures and their captions, with open_clip's metric names.

use super::EvalModel;
use super::model::similarities;
use serde::{Deserialize, Serialize};
use std::time::Instant;
use twinspan_data::{EvalError, EvalSet};

/// Queries scored at once.
const BLOCK: usize = 512;

/// One direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recall {
    /// Mean rank of the right answer, from 1.
    pub mean_rank: f64,
    /// Median rank of the right answer, from 1.
    pub median_rank: f64,
    /// Share of queries whose answer came first.
    #[serde(rename = "R@1")]
    pub at_1: f64,
    /// Share of queries whose answer was among the first five.
    #[serde(rename = "R@5")]
    pub at_5: f64,
    /// Share of queries whose answer was among the first ten.
    #[serde(rename = "R@10")]
    pub at_10: f64,
}

/// Both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetrievalReport {
    /// From a picture to its caption.
    pub image_to_text: Recall,
    /// From a caption to its picture.
    pub text_to_image: Recall,
    /// Pairs.
    pub pairs: usize,
    /// Time that it took.
    pub seconds: f64,
}

/// Ranks every pair of a captioned set among all others, in both directions.
///
/// # Errors
/// When the set cannot be read.
pub async fn retrieval(model: &EvalModel, set: &EvalSet) -> Result<RetrievalReport, EvalError> {
    let start = Instant::now();
    let mut reader = set.reader(model.image_size());
    let (mut images, mut pixels, mut captions) = (Vec::new(), Vec::new(), Vec::new());
    let picture = 3 * (model.image_size() as usize).pow(2);
    while let Some(sample) = reader.next().await? {
        let Some(caption) = sample.caption else {
            continue;
        };
        captions.push(model.tokenizer().encode(&caption));
        pixels.extend_from_slice(&sample.pixels);
        if pixels.len() >= BLOCK * picture {
            images.extend(model.embed_images(&pixels));
            pixels.clear();
        }
    }
    images.extend(model.embed_images(&pixels));
    let texts = model.embed_texts(&captions);
    let e = model.embed_dim();
    Ok(RetrievalReport {
        image_to_text: recall(&images, &texts, e),
        text_to_image: recall(&texts, &images, e),
        pairs: captions.len(),
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn recall(queries: &[f32], answers: &[f32], e: usize) -> Recall {
    let n = answers.len() / e;
    let mut ranks: Vec<usize> = Vec::with_capacity(n);
    for block in queries.chunks(BLOCK * e) {
        for scores in similarities(block, answers, e).chunks(n.max(1)) {
            ranks.push(rank_of(scores, ranks.len()));
        }
    }
    ranks.sort_unstable();
    let within = |k: usize| ranks.partition_point(|rank| *rank < k) as f64 / n.max(1) as f64;
    Recall {
        mean_rank: ranks.iter().map(|rank| rank + 1).sum::<usize>() as f64 / n.max(1) as f64,
        median_rank: ranks.get(n / 2).map_or(0.0, |rank| (rank + 1) as f64),
        at_1: within(1),
        at_5: within(5),
        at_10: within(10),
    }
}

/// How many come before the right answer, from 0; equal scores stand in their order.
pub(super) fn rank_of(scores: &[f32], right: usize) -> usize {
    let score = scores[right];
    let before = |(i, other): (usize, &f32)| *other > score || (*other == score && i < right);
    scores
        .iter()
        .enumerate()
        .filter(|entry| before(*entry))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_the_rank_of_each_own_answer() {
        // Three unit queries against answers in which the second and third are swapped.
        let queries = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let answers = [1.0, 0.0, 0.0, 0.0, 0.1, 1.0, 0.0, 1.0, 0.1];
        let recall = recall(&queries, &answers, 3);
        assert!((recall.at_1 - 1.0 / 3.0).abs() < 1e-9);
        assert_eq!((recall.at_5, recall.median_rank), (1.0, 2.0));
    }

    #[test]
    fn equal_scores_do_not_count_as_a_hit_before_their_turn() {
        assert_eq!(rank_of(&[0.5, 0.5, 0.5], 2), 2);
    }
}
