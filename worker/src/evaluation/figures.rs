//! From the ranks' words to an evaluation's figures, under open_clip's names.

use super::share::{Measured, Word};
use crate::eval::{
    Recall, RetrievalCounts, RetrievalPart, RetrievalReport, ZeroShotCounts, ZeroShotReport,
};
use std::collections::BTreeMap;
use twinspan_data::{EvalError, EvalSet};
use twinspan_types::config::EvalConfig;

/// What the ranks said in the first round, with what this rank has of each set, in the sets' order.
pub struct FirstRound(Vec<FirstWord>);

/// What is known of a set after the first round.
enum FirstWord {
    Counted(ZeroShotCounts, EvalSet),
    Embedded(RetrievalPart, EvalSet),
    Failed(String),
}

impl FirstRound {
    /// `own` is what this rank has, `words[r]` what rank r said of each set.
    pub fn new(own: Vec<Measured>, words: Vec<Vec<Word>>) -> Self {
        let sets = own.into_iter().enumerate();
        Self(
            sets.map(|(place, own)| of_set(place, own, &words))
                .collect(),
        )
    }

    /// Takes out this rank's embeddings of every set that all ranks have embedded, with its place.
    pub fn take_embeddings(&mut self) -> Vec<(usize, RetrievalPart)> {
        let words = self.0.iter_mut().enumerate();
        let embedded = words.filter_map(|(place, word)| match word {
            FirstWord::Embedded(part, _) => {
                let passed_over = part.passed_over.clone();
                let left = RetrievalPart {
                    passed_over,
                    ..RetrievalPart::default()
                };
                Some((place, std::mem::replace(part, left)))
            }
            FirstWord::Counted(..) | FirstWord::Failed(_) => None,
        });
        embedded.collect()
    }
}

fn of_set(place: usize, own: Measured, words: &[Vec<Word>]) -> FirstWord {
    let mut sum = ZeroShotCounts::default();
    for (rank, words) in words.iter().enumerate() {
        match words.get(place) {
            Some(Word::Counted(counts)) => sum.merge(counts.clone()),
            Some(Word::Embedded) => {}
            other => return FirstWord::Failed(fault(rank, other)),
        }
    }
    match own {
        Measured {
            set: Some(set),
            part: Some(part),
            ..
        } => FirstWord::Embedded(part, set),
        Measured { set: Some(set), .. } => FirstWord::Counted(sum, set),
        Measured { set: None, .. } => FirstWord::Failed("this rank has not read it".to_owned()),
    }
}

fn fault(rank: usize, word: Option<&Word>) -> String {
    match word {
        Some(Word::Failed(why)) => format!("rank {rank}: {why}"),
        _ => format!("rank {rank} says nothing of it"),
    }
}

/// Figures by name.
type Figures = BTreeMap<String, f64>;

/// The figures of all sets by their metrics' names, and the sets without any, with the reason. Every
/// rank that `second` is heard of has ranked its queries.
pub fn figures(
    config: &EvalConfig,
    first: FirstRound,
    second: Vec<Vec<Word>>,
) -> (Figures, Vec<(String, String)>) {
    let (mut metrics, mut faults) = (Figures::new(), Vec::new());
    for (place, (set, word)) in config.sets.iter().zip(first.0).enumerate() {
        let figures = match word {
            FirstWord::Counted(counts, set) => zero_shot(counts, &set).map_err(told),
            FirstWord::Embedded(part, set) => ranked(place, &second)
                .and_then(|counts| retrieval(&counts, part, &set).map_err(told)),
            FirstWord::Failed(why) => Err(why),
        };
        match figures {
            Ok(figures) => {
                let named = figures.into_iter();
                metrics.extend(named.map(|(name, value)| (config.metric(set, &name), value)));
            }
            Err(why) => faults.push((set.name.clone(), why)),
        }
    }
    (metrics, faults)
}

fn told(error: EvalError) -> String {
    error.to_string()
}

fn ranked(place: usize, words: &[Vec<Word>]) -> Result<RetrievalCounts, String> {
    let mut sum = RetrievalCounts::default();
    for (rank, words) in words.iter().enumerate() {
        match words.get(place) {
            Some(Word::Ranked(counts)) => sum.merge(counts),
            other => return Err(fault(rank, other)),
        }
    }
    Ok(sum)
}

/// open_clip tells no time in its metrics.
const UNTIMED: f64 = 0.0;

fn zero_shot(counts: ZeroShotCounts, set: &EvalSet) -> Result<Figures, EvalError> {
    let report = ZeroShotReport::new(counts, set, UNTIMED)?;
    let figures = [
        ("zeroshot-val-top1", report.top1),
        ("zeroshot-val-top5", report.top5),
        ("mean_per_class_recall", report.mean_per_class_recall),
    ];
    Ok(figures.map(|(name, value)| (name.to_owned(), value)).into())
}

fn retrieval(
    counts: &RetrievalCounts,
    own: RetrievalPart,
    set: &EvalSet,
) -> Result<Figures, EvalError> {
    let report = RetrievalReport::new(counts, own.passed_over, set, UNTIMED)?;
    let directions = [
        ("image_to_text", report.image_to_text),
        ("text_to_image", report.text_to_image),
    ];
    let figures = directions.into_iter().flat_map(|(direction, recall)| {
        let Recall {
            mean_rank,
            median_rank,
            at_1,
            at_5,
            at_10,
        } = recall;
        let figures = [
            ("mean_rank", mean_rank),
            ("median_rank", median_rank),
            ("R@1", at_1),
            ("R@5", at_5),
            ("R@10", at_10),
        ];
        figures.map(|(figure, value)| (format!("{direction}_{figure}"), value))
    });
    Ok(figures.collect())
}

#[cfg(test)]
mod tests;
