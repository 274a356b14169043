//! `twinspan eval linear-probe`: planes between classes in the space of frozen embeddings.

use super::{find, percent, print};
use crate::args::LinearProbeArgs;
use crate::counter::Counter;
use crate::exit::{Failure, bad_input};
use crate::runtime::block_on;
use crate::{model, passed_over, say};
use std::time::Instant;
use twinspan_data::{EvalSet, dataset};
use twinspan_types::config::url_of_path;
use twinspan_worker::eval::{EvalModel, LabelledFeatures, LinearProbeReport, ProbeSettings};

/// Embeds both sets, fits, tests, and prints the result.
pub fn run(args: &LinearProbeArgs) -> Result<(), Failure> {
    let start = Instant::now();
    let train = find(dataset::read_labelled(&url_of_path(&args.train)))?;
    let test = find(dataset::read_labelled(&url_of_path(&args.test)))?;
    let model = model::load(&args.checkpoint)?;
    let train = features(&model, &train, "training set embedded")?;
    let test = features(&model, &test, "test set embedded")?;
    let settings = ProbeSettings {
        c: args.c,
        iterations: args.iterations,
    };
    let counter = Counter::new("steps of the fit");
    let each = |done| counter.show(done, args.iterations);
    let report = twinspan_worker::eval::linear_probe(&train, &test, settings, &each);
    let report = report.map_err(bad_input)?;
    drop(counter);
    let report = LinearProbeReport {
        seconds: start.elapsed().as_secs_f64(),
        ..report
    };
    if !report.converged {
        say::log(format!(
            "{} steps did not reach the lowest loss: give more --iterations, or a smaller -C",
            report.iterations
        ));
    }
    print(args.json, &report, || rows(&report))
}

fn features(
    model: &EvalModel,
    set: &EvalSet,
    what: &'static str,
) -> Result<LabelledFeatures, Failure> {
    let counter = Counter::percent(what);
    let on_progress = |done, total| counter.show(done, total);
    let features = twinspan_worker::eval::labelled_features(model, set, &on_progress);
    let features = block_on(features)?.map_err(bad_input)?;
    drop(counter);
    passed_over::tell(&features.passed_over);
    Ok(features)
}

fn rows(report: &LinearProbeReport) -> Vec<(String, String)> {
    let title = format!("linear probe top-1 ({} classes)", report.classes);
    vec![
        (title, percent(report.top1)),
        ("linear probe top-5".to_owned(), percent(report.top5)),
        (
            "linear probe mean per-class recall".to_owned(),
            percent(report.mean_per_class_recall),
        ),
        (
            "pictures learned from / tested".to_owned(),
            format!("{} / {}", report.train_pictures, report.test_pictures),
        ),
    ]
}
