//! Events in words.

use super::checkpoints::Committed;
use twinspan_coordinator_core::Outcome;
use twinspan_types::config::EvalConfig;
use twinspan_types::{CheckpointName, Evaluation, Generation, Quarantine, Step};

pub fn generation(generation: Generation, workers: usize, start: Step) -> String {
    let workers = match workers {
        1 => "1 worker".to_owned(),
        workers => format!("{workers} workers"),
    };
    format!("generation {generation}: {workers}, from step {start}")
}

pub fn checkpoint(newest: Option<&Committed>, name: &CheckpointName) -> String {
    let step = name.step;
    match newest.filter(|newest| newest.step == step.0) {
        Some(Committed { bytes, seconds, .. }) => {
            let megabytes = *bytes as f64 / 1e6;
            let seconds = seconds.unwrap_or_default();
            format!("checkpoint of step {step}: {megabytes:.1} MB in {seconds:.1} s")
        }
        None => format!("checkpoint of step {step}"),
    }
}

/// The first figure of every set.
pub fn evaluation(evaluation: &Evaluation) -> String {
    let metrics = evaluation.metrics.iter();
    let first = metrics.filter(|(name, _)| name.ends_with("top1") || name.ends_with("R@1"));
    let figures = first.map(|(name, value)| {
        let name = name.trim_start_matches(EvalConfig::METRICS);
        format!("{name} {:.1} %", value * 100.0)
    });
    let figures: Vec<String> = figures.collect();
    format!(
        "evaluation of step {}: {}",
        evaluation.step,
        figures.join(", ")
    )
}

pub fn quarantine(quarantine: &Quarantine) -> String {
    let Quarantine {
        url,
        samples,
        reason,
        ..
    } = quarantine;
    format!("{url} is passed over, with its {samples} samples: {reason}")
}

pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Ended { step, .. } => format!("the run has reached its last step, {step}"),
        Outcome::Stopped { step, .. } => format!("stopped at step {step}"),
        Outcome::Failed { reason } => reason.clone(),
    }
}
