//! Linear probe: how well classes can be told apart by planes in the space of frozen embeddings
//! (Radford et al. 2021, section 3.2). Sizes and penalty are those of scikit-learn's
//! `LogisticRegression`.

mod features;
mod lbfgs;
mod logistic;
#[cfg(test)]
mod tests;

pub use features::{LabelledFeatures, labelled_features};
pub use logistic::ProbeSettings;

use super::hits::{self, ClassHits, rank_of};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use twinspan_data::PassedOver;

/// Classes that an error names at most.
const NAMED: usize = 5;

/// Why a probe cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProbeError {
    /// There is nothing to tell apart.
    #[error("the pictures of {train} are all of one class: a linear probe needs two or more")]
    OneClass {
        /// The training set.
        train: String,
    },
    /// Labels that the training set does not have.
    #[error(
        "{test} holds pictures of {count} classes of which {train} has none, such as {classes}: \
         give both sets the same classes"
    )]
    UnknownClasses {
        /// The test set.
        test: String,
        /// The training set.
        train: String,
        /// How many classes.
        count: usize,
        /// Some of them.
        classes: String,
    },
}

/// What a linear probe found, under CLIP_benchmark's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearProbeReport {
    /// Share of test pictures whose class came first.
    #[serde(rename = "lp_acc1")]
    pub top1: f64,
    /// Share of test pictures whose class was among the first five.
    #[serde(rename = "lp_acc5")]
    pub top5: f64,
    /// Mean over the test set's classes of the share of their pictures whose class came first.
    #[serde(rename = "lp_mean_per_class_recall")]
    pub mean_per_class_recall: f64,
    /// Pictures that were learned from.
    pub train_pictures: usize,
    /// Pictures that were tested.
    pub test_pictures: u64,
    /// Classes.
    pub classes: usize,
    /// scikit-learn's C.
    pub c: f64,
    /// Steps of the fit.
    pub iterations: u64,
    /// Whether they reached the lowest loss.
    pub converged: bool,
    /// Time that it took.
    pub seconds: f64,
    /// Pictures that could not be used, of both sets.
    pub passed_over: Vec<PassedOver>,
}

/// Learns the classes of `train` and tests them on `test`; `each` hears of every step. The report's
/// time is zero: whoever embeds the sets knows it.
///
/// # Errors
/// When there is but one class, or `test` has others than `train`.
pub fn linear_probe(
    train: &LabelledFeatures,
    test: &LabelledFeatures,
    settings: ProbeSettings,
    each: &dyn Fn(u64),
) -> Result<LinearProbeReport, ProbeError> {
    let seen: BTreeSet<usize> = train.labels.iter().copied().collect();
    let place: BTreeMap<usize, usize> = seen.into_iter().zip(0..).collect();
    let classes = place.len();
    if classes < 2 {
        let train = train.url.clone();
        return Err(ProbeError::OneClass { train });
    }
    let test_labels = labels_in(train, &place, test)?;
    let labels: Vec<usize> = train.labels.iter().map(|label| place[label]).collect();
    let separator = logistic::fit(&train.rows_ne, &labels, classes, train.e, settings, each);
    let mut counts = vec![ClassHits::default(); classes];
    let mut labels = test_labels.iter();
    separator.score(&test.rows_ne, |scores_c| {
        if let Some(label) = labels.next() {
            counts[*label].count(rank_of(scores_c, *label));
        }
    });
    let accuracy = hits::accuracy(&counts).unwrap_or_default();
    let both = train.passed_over.iter().chain(&test.passed_over);
    Ok(LinearProbeReport {
        top1: accuracy.top1,
        top5: accuracy.top5,
        mean_per_class_recall: accuracy.mean_per_class_recall,
        train_pictures: train.labels.len(),
        test_pictures: accuracy.samples,
        classes,
        c: settings.c,
        iterations: separator.iterations,
        converged: separator.converged,
        seconds: 0.0,
        passed_over: both.cloned().collect(),
    })
}

/// The test set's labels as places among the training set's classes: by name where both sets name
/// theirs, else by number.
fn labels_in(
    train: &LabelledFeatures,
    place: &BTreeMap<usize, usize>,
    test: &LabelledFeatures,
) -> Result<Vec<usize>, ProbeError> {
    let by_name = !train.names.is_empty() && !test.names.is_empty();
    let of_train = |label: usize| match by_name {
        true => train
            .names
            .iter()
            .position(|name| *name == test.names[label]),
        false => Some(label),
    };
    let seen: BTreeSet<usize> = test.labels.iter().copied().collect();
    let found = seen.into_iter().map(|label| {
        let found = of_train(label).and_then(|label| place.get(&label).copied());
        (label, found)
    });
    let found: BTreeMap<usize, Option<usize>> = found.collect();
    let unknown = found.iter().filter(|(_, place)| place.is_none());
    let unknown: Vec<String> = unknown
        .map(|(label, _)| test.names.get(*label).cloned().unwrap_or(label.to_string()))
        .collect();
    match unknown.is_empty() {
        true => Ok(test
            .labels
            .iter()
            .filter_map(|label| found[label])
            .collect()),
        false => Err(ProbeError::UnknownClasses {
            test: test.url.clone(),
            train: train.url.clone(),
            count: unknown.len(),
            classes: unknown[..unknown.len().min(NAMED)].join(", "),
        }),
    }
}
