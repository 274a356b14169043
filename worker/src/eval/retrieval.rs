//! Retrieval between pictures and their captions, with open_clip's metric names.

use super::EvalModel;
use super::hits::rank_of;
use super::model::similarities;
use super::ranks::{RankCounts, Recall};
use super::share::embed_share;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Instant;
use twinspan_data::index::OnProgress;
use twinspan_data::{EvalError, EvalSample, EvalSet, PassedOver, Share};

/// Queries scored, or captions embedded, at once.
const BLOCK: usize = 512;

/// The embeddings of a share's pictures and of their captions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RetrievalPart {
    /// Unit embeddings of the pictures, [n, e], in the set's order.
    pub images_ne: Vec<f32>,
    /// The pictures' numbers in the set, n of them, rising.
    pub image_numbers: Vec<u64>,
    /// Unit embeddings of the captions, [m, e], picture by picture.
    pub texts_me: Vec<f32>,
    /// The numbers of the pictures that the captions belong to, m of them.
    pub text_numbers: Vec<u64>,
    /// Pictures that could not be used, sorted.
    pub passed_over: Vec<PassedOver>,
}

/// The ranks of right answers in both directions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrievalCounts {
    /// From a picture to the best of its captions.
    pub image_to_text: RankCounts,
    /// From a caption to its picture.
    pub text_to_image: RankCounts,
}

/// Both directions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetrievalReport {
    /// From a picture to the best of its captions.
    pub image_to_text: Recall,
    /// From a caption to its picture.
    pub text_to_image: Recall,
    /// Pictures.
    pub pictures: u64,
    /// Captions.
    pub captions: u64,
    /// Time that it took.
    pub seconds: f64,
    /// Pictures that could not be used.
    pub passed_over: Vec<PassedOver>,
}

impl RetrievalPart {
    /// The parts of all shares as one, in the set's order. Rows are `e` wide.
    #[must_use]
    pub fn merged(parts: Vec<Self>, e: usize) -> Self {
        let images = parts
            .iter()
            .map(|part| (&part.image_numbers, &part.images_ne));
        let (image_numbers, images_ne) = in_order(images, e);
        let texts = parts
            .iter()
            .map(|part| (&part.text_numbers, &part.texts_me));
        let (text_numbers, texts_me) = in_order(texts, e);
        let passed_over = parts.into_iter().flat_map(|part| part.passed_over);
        let mut passed_over: Vec<PassedOver> = passed_over.collect();
        passed_over.sort_unstable();
        Self {
            images_ne,
            image_numbers,
            texts_me,
            text_numbers,
            passed_over,
        }
    }

    /// The captions of the picture with this number.
    fn texts_of(&self, number: u64) -> Range<usize> {
        let start = self.text_numbers.partition_point(|of| *of < number);
        start..self.text_numbers.partition_point(|of| *of <= number)
    }

    /// The row of the picture with this number.
    fn image_of(&self, number: u64) -> usize {
        self.image_numbers.partition_point(|of| *of < number)
    }
}

/// Rows of several lists by their numbers; rows of one number keep their order.
fn in_order<'p>(
    lists: impl Iterator<Item = (&'p Vec<u64>, &'p Vec<f32>)>,
    e: usize,
) -> (Vec<u64>, Vec<f32>) {
    let rows = lists.flat_map(|(numbers, rows)| numbers.iter().copied().zip(rows.chunks(e)));
    let mut rows: Vec<(u64, &[f32])> = rows.collect();
    rows.sort_by_key(|(number, _)| *number);
    let numbers = rows.iter().map(|(number, _)| *number).collect();
    (
        numbers,
        rows.iter().flat_map(|(_, row)| *row).copied().collect(),
    )
}

impl RetrievalCounts {
    /// Adds the counts of other queries.
    pub fn merge(&mut self, other: &Self) {
        self.image_to_text.merge(&other.image_to_text);
        self.text_to_image.merge(&other.text_to_image);
    }
}

impl RetrievalReport {
    /// From the counts of all queries of a set, which took so long together, and all pictures that
    /// could not be used.
    ///
    /// # Errors
    /// When there was not one query.
    pub fn new(
        counts: &RetrievalCounts,
        passed_over: Vec<PassedOver>,
        set: &EvalSet,
        seconds: f64,
    ) -> Result<Self, EvalError> {
        match counts.image_to_text.queries() {
            0 => Err(super::nothing_to_use(set, &passed_over)),
            pictures => Ok(Self {
                image_to_text: counts.image_to_text.recall(),
                text_to_image: counts.text_to_image.recall(),
                pictures,
                captions: counts.text_to_image.queries(),
                seconds,
                passed_over,
            }),
        }
    }
}

/// Ranks every picture's and every caption's right answer among all of a captioned set.
///
/// # Errors
/// When the set cannot be read, or holds no picture with a caption that can be used.
pub async fn retrieval(
    model: &EvalModel,
    set: &EvalSet,
    on_progress: OnProgress<'_>,
) -> Result<RetrievalReport, EvalError> {
    let start = Instant::now();
    let part = retrieval_part(model, set, Share::WHOLE, on_progress).await?;
    let counts = retrieval_counts(&part, &part, model.embed_dim());
    RetrievalReport::new(
        &counts,
        part.passed_over,
        set,
        start.elapsed().as_secs_f64(),
    )
}

/// Embeds the pictures and captions of a share of a captioned set. A picture without a caption is
/// passed over.
///
/// # Errors
/// When the set cannot be read.
pub async fn retrieval_part(
    model: &EvalModel,
    set: &EvalSet,
    share: Share,
    on_progress: OnProgress<'_>,
) -> Result<RetrievalPart, EvalError> {
    let e = model.embed_dim();
    let mut part = RetrievalPart::default();
    let (mut tokens, mut without_caption) = (Vec::new(), Vec::new());
    let each = |samples: &[EvalSample], images_be: &[f32]| {
        for (sample, image_e) in samples.iter().zip(images_be.chunks(e)) {
            if sample.captions.is_empty() {
                without_caption.push(PassedOver {
                    key: sample.key.clone(),
                    reason: "it has no caption".to_owned(),
                });
                continue;
            }
            part.images_ne.extend(image_e);
            part.image_numbers.push(sample.number);
            for caption in &sample.captions {
                part.text_numbers.push(sample.number);
                tokens.push(model.tokenizer().encode(caption));
            }
        }
        if tokens.len() >= BLOCK {
            part.texts_me.extend(model.embed_texts_evenly(&tokens));
            tokens.clear();
        }
    };
    part.passed_over = embed_share(model, set, share, on_progress, each).await?;
    part.texts_me.extend(model.embed_texts_evenly(&tokens));
    part.passed_over.append(&mut without_caption);
    part.passed_over.sort_unstable();
    Ok(part)
}

/// The ranks of the right answers to the pictures and captions of `own` among those of `all`, of
/// which they are a part. Rows are `e` wide.
#[must_use]
pub fn retrieval_counts(own: &RetrievalPart, all: &RetrievalPart, e: usize) -> RetrievalCounts {
    let mut counts = RetrievalCounts::default();
    ranked(
        &own.images_ne,
        &own.image_numbers,
        &all.texts_me,
        e,
        |number, scores_m| {
            let texts = all.texts_of(number).map(|text| rank_of(scores_m, text));
            counts
                .image_to_text
                .count(texts.min().unwrap_or(scores_m.len()));
        },
    );
    ranked(
        &own.texts_me,
        &own.text_numbers,
        &all.images_ne,
        e,
        |number, scores_n| {
            counts
                .text_to_image
                .count(rank_of(scores_n, all.image_of(number)));
        },
    );
    counts
}

/// Hands each query's number and its cosines with all answers to `each`.
fn ranked(
    queries: &[f32],
    numbers: &[u64],
    answers: &[f32],
    e: usize,
    mut each: impl FnMut(u64, &[f32]),
) {
    let answer_count = (answers.len() / e).max(1);
    for (numbers, queries) in numbers.chunks(BLOCK).zip(queries.chunks(BLOCK * e)) {
        let scores = similarities(queries, answers, e);
        for (number, scores) in numbers.iter().zip(scores.chunks(answer_count)) {
            each(*number, scores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three pictures with the numbers 1, 4 and 6; the second has two captions.
    fn part() -> RetrievalPart {
        RetrievalPart {
            images_ne: vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            image_numbers: vec![1, 4, 6],
            texts_me: vec![
                0.0, 1.0, 0.0, // of the first, and nearest to the second
                1.0, 0.1, 0.0, // of the second, and nearest to the first
                0.0, 0.9, 0.0, // of the second
                0.0, 0.0, 1.0,
            ],
            text_numbers: vec![1, 4, 4, 6],
            passed_over: Vec::new(),
        }
    }

    fn counts(ranks: &[usize]) -> RankCounts {
        let mut counts = RankCounts::default();
        ranks.iter().for_each(|rank| counts.count(*rank));
        counts
    }

    #[test]
    fn a_picture_counts_its_best_caption_and_a_caption_its_picture() {
        let part = part();
        let found = retrieval_counts(&part, &part, 3);
        assert_eq!(found.image_to_text, counts(&[1, 1, 0]));
        assert_eq!(found.text_to_image, counts(&[1, 1, 0, 0]));
    }

    #[test]
    fn shares_merge_to_the_whole_and_their_queries_add_up() {
        let whole = part();
        let row = |rows: &[f32], at: Range<usize>| rows[3 * at.start..3 * at.end].to_vec();
        let pieces = [(2..3, 3..4), (1..2, 1..3), (0..1, 0..1)];
        let pieces = pieces.map(|(images, texts)| RetrievalPart {
            images_ne: row(&whole.images_ne, images.clone()),
            image_numbers: whole.image_numbers[images].to_vec(),
            texts_me: row(&whole.texts_me, texts.clone()),
            text_numbers: whole.text_numbers[texts].to_vec(),
            passed_over: Vec::new(),
        });
        let all = RetrievalPart::merged(pieces.to_vec(), 3);
        assert_eq!(all, whole);
        let mut sum = RetrievalCounts::default();
        for piece in &pieces {
            sum.merge(&retrieval_counts(piece, &all, 3));
        }
        assert_eq!(sum, retrieval_counts(&whole, &whole, 3));
    }
}
