//! `twinspan eval`: a checkpoint on a dataset.

mod linear_probe;
mod robustness;

use crate::args::{EvalTask, RetrievalArgs, ZeroShotArgs};
use crate::counter::Counter;
use crate::exit::{Failure, bad_input};
use crate::runtime::block_on;
use crate::{model, passed_over, say};
use comfy_table::{Table, presets};
use std::future::Future;
use twinspan_data::{EvalError, EvalSet, Wording, dataset};
use twinspan_types::config::url_of_path;
use twinspan_worker::eval::{EvalModel, RetrievalReport, ZeroShotReport};

/// Runs one evaluation and prints its result.
pub fn run(task: &EvalTask) -> Result<(), Failure> {
    match task {
        EvalTask::ZeroShot(args) => run_zero_shot(args),
        EvalTask::Retrieval(args) => run_retrieval(args),
        EvalTask::LinearProbe(args) => linear_probe::run(args),
        EvalTask::Robustness(args) => robustness::run(args),
    }
}

fn run_zero_shot(args: &ZeroShotArgs) -> Result<(), Failure> {
    let url = |file: &Option<String>| file.as_deref().map(url_of_path);
    let wording = Wording {
        class_names: url(&args.classnames),
        templates: url(&args.templates),
    };
    let set = find(dataset::read_classification_worded(
        &url_of_path(&args.dataset),
        &wording,
    ))?;
    let report = zero_shot_of(&model::load(&args.checkpoint)?, &set)?;
    print(args.json, &report, || zero_shot_rows(&report))
}

fn run_retrieval(args: &RetrievalArgs) -> Result<(), Failure> {
    let set = find(dataset::read_captioned(&url_of_path(&args.dataset)))?;
    let report = retrieval_of(&model::load(&args.checkpoint)?, &set)?;
    print(args.json, &report, || retrieval_rows(&report))
}

/// Looks for a set, before a model is loaded.
fn find(set: impl Future<Output = Result<EvalSet, EvalError>>) -> Result<EvalSet, Failure> {
    block_on(set)?.map_err(bad_input)
}

fn zero_shot_of(model: &EvalModel, set: &EvalSet) -> Result<ZeroShotReport, Failure> {
    let prompts = Counter::new("class prompts embedded");
    let on_classes = |done, total| prompts.show(done, total);
    let counter = Counter::percent("zero-shot");
    let on_progress = |done, total| counter.show(done, total);
    let report = twinspan_worker::eval::zero_shot(model, set, &on_classes, &on_progress);
    let report = block_on(report)?.map_err(bad_input)?;
    drop(counter);
    passed_over::tell(&report.passed_over);
    Ok(report)
}

fn retrieval_of(model: &EvalModel, set: &EvalSet) -> Result<RetrievalReport, Failure> {
    let counter = Counter::percent("retrieval");
    let on_progress = |done, total| counter.show(done, total);
    let report = twinspan_worker::eval::retrieval(model, set, &on_progress);
    let report = block_on(report)?.map_err(bad_input)?;
    drop(counter);
    passed_over::tell(&report.passed_over);
    Ok(report)
}

/// What the reports say, as (name, value) rows.
pub fn zero_shot_rows(report: &ZeroShotReport) -> Vec<(String, String)> {
    vec![
        (
            format!("zero-shot top-1 ({} classes)", report.classes),
            percent(report.top1),
        ),
        ("zero-shot top-5".to_owned(), percent(report.top5)),
        (
            "zero-shot mean per-class recall".to_owned(),
            percent(report.mean_per_class_recall),
        ),
    ]
}

/// As [`zero_shot_rows`].
pub fn retrieval_rows(report: &RetrievalReport) -> Vec<(String, String)> {
    let directions = [
        ("image-to-text", &report.image_to_text),
        ("text-to-image", &report.text_to_image),
    ];
    let recalls = directions.into_iter().map(|(name, recall)| {
        let [one, five, ten] = [recall.at_1, recall.at_5, recall.at_10].map(percent);
        (
            format!("{name} R@1 / R@5 / R@10"),
            format!("{one} / {five} / {ten}"),
        )
    });
    recalls.collect()
}

/// Rows as a table.
pub fn table(rows: &[(String, String)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    for (name, value) in rows {
        table.add_row([name, value]);
    }
    table
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn print<R: serde::Serialize>(
    json: bool,
    report: &R,
    rows: impl Fn() -> Vec<(String, String)>,
) -> Result<(), Failure> {
    match json {
        true => say::result(serde_json::json!(report)),
        false => say::result(table(&rows())),
    }
}
