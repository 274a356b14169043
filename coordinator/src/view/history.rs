//! The course of the run: its loss and what goes with it, step by step, thinned evenly.

use serde::Serialize;
use std::collections::BTreeMap;
use twinspan_types::{Evaluation, Step, StepReport};

/// Points that are shown at most.
const MOST: usize = 800;
/// Evaluations that are shown at most, the newest.
const EVALUATIONS: usize = 400;

/// One step of the curves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub step: Step,
    pub loss: f64,
    pub samples_per_second: f64,
    pub logit_scale: f64,
    pub lr: f64,
    pub grad_norm: f64,
}

impl From<&StepReport> for Point {
    fn from(report: &StepReport) -> Self {
        let metrics = &report.metrics;
        Self {
            step: report.step,
            loss: metrics.loss,
            samples_per_second: metrics.samples_per_second,
            logit_scale: metrics.logit_scale,
            lr: metrics.lr,
            grad_norm: metrics.grad_norm,
        }
    }
}

/// The curves.
#[derive(Debug)]
pub struct History {
    /// Steps that are a multiple of this are kept: it doubles whenever there are too many.
    every: u64,
    points: Vec<Point>,
    /// The newest one, whatever its step.
    newest: Option<Point>,
    evaluations: Vec<Evaluation>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            every: 1,
            points: Vec::new(),
            newest: None,
            evaluations: Vec::new(),
        }
    }
}

/// The document, by columns.
#[derive(Debug, Serialize)]
pub struct HistoryDocument<'v> {
    step: Vec<u64>,
    loss: Vec<f64>,
    samples_per_second: Vec<f64>,
    logit_scale: Vec<f64>,
    lr: Vec<f64>,
    grad_norm: Vec<f64>,
    evaluations: Vec<EvaluationDocument<'v>>,
}

/// One evaluation.
#[derive(Debug, Serialize)]
pub struct EvaluationDocument<'v> {
    step: u64,
    metrics: &'v BTreeMap<String, f64>,
}

impl<'v> From<&'v Evaluation> for EvaluationDocument<'v> {
    fn from(evaluation: &'v Evaluation) -> Self {
        Self {
            step: evaluation.step.0,
            metrics: &evaluation.metrics,
        }
    }
}

impl History {
    /// Takes a step; one that is not behind the newest is known.
    pub fn add(&mut self, point: Point) {
        if self.newest.is_some_and(|newest| newest.step >= point.step) {
            return;
        }
        self.newest = Some(point);
        if !point.step.0.is_multiple_of(self.every) {
            return;
        }
        self.points.push(point);
        // One place is the newest step's.
        while self.points.len() >= MOST {
            self.every *= 2;
            let every = self.every;
            self.points
                .retain(|point| point.step.0.is_multiple_of(every));
        }
    }

    /// Takes finished evaluations in the order of their steps.
    pub fn add_evaluations(&mut self, evaluations: &[Evaluation]) {
        self.evaluations.extend_from_slice(evaluations);
        let old = self.evaluations.len().saturating_sub(EVALUATIONS);
        self.evaluations.drain(..old);
    }

    /// A generation starts from a step: what was told of later ones is void.
    pub fn restart(&mut self, start: Step) {
        self.points.retain(|point| point.step <= start);
        self.evaluations.retain(|one| one.step <= start);
        if self.newest.is_some_and(|newest| newest.step > start) {
            self.newest = self.points.last().copied();
        }
    }

    /// What is shown.
    pub fn document(&self) -> HistoryDocument<'_> {
        let newest = self.newest.as_ref();
        let newest = newest.filter(|newest| Some(*newest) != self.points.last());
        let points: Vec<&Point> = self.points.iter().chain(newest).collect();
        let column = |value: fn(&Point) -> f64| points.iter().map(|point| value(point)).collect();
        HistoryDocument {
            step: points.iter().map(|point| point.step.0).collect(),
            loss: column(|point| point.loss),
            samples_per_second: column(|point| point.samples_per_second),
            logit_scale: column(|point| point.logit_scale),
            lr: column(|point| point.lr),
            grad_norm: column(|point| point.grad_norm),
            evaluations: self.evaluations.iter().map(Into::into).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(step: u64) -> Point {
        Point {
            step: Step(step),
            loss: step as f64,
            samples_per_second: 1.0,
            logit_scale: 1.0,
            lr: 1.0,
            grad_norm: 1.0,
        }
    }

    #[test]
    fn a_long_run_is_thinned_evenly_and_ends_with_its_newest_step() {
        let mut history = History::default();
        for step in 1..=10_001 {
            history.add(point(step));
            assert!(history.document().step.len() <= MOST);
        }
        let document = history.document();
        assert_eq!(document.step.last(), Some(&10_001));
        let gaps = document.step.windows(2).map(|pair| pair[1] - pair[0]);
        let gaps: Vec<u64> = gaps.collect();
        let (last, even) = gaps.split_last().expect("many points");
        assert!(even.iter().all(|gap| gap == even.first().expect("many")) && last <= &even[0]);
        assert!(document.step.len() > MOST / 3);
    }

    #[test]
    fn a_redone_step_is_shown_once() {
        let mut history = History::default();
        (1..=20).for_each(|step| history.add(point(step)));
        let evaluations = [10, 20].map(|step| Evaluation {
            step: Step(step),
            metrics: BTreeMap::new(),
        });
        history.add_evaluations(&evaluations);
        history.restart(Step(12));
        (10..=14).for_each(|step| history.add(point(step)));
        let document = history.document();
        assert_eq!(document.step, (1..=14).collect::<Vec<_>>());
        assert_eq!(document.evaluations.len(), 1);
    }
}
