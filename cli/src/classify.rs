//! `twinspan classify`: which of some labels a picture shows.

use crate::args::ClassifyArgs;
use crate::counter::Counter;
use crate::exit::{Failure, bad_input, failed};
use crate::runtime::block_on;
use crate::{lines, model, passed_over, say};
use anyhow::anyhow;
use std::collections::HashSet;
use twinspan_data::Pictures;
use twinspan_data::dataset::PLACE;
use twinspan_worker::eval::{ClassifiedImage, ClassifyReport};

/// Labels of a picture that are shown at most; JSON has all.
const SHOWN: usize = 10;
/// Characters of a bar that stands for 100 %.
const BAR: f64 = 30.0;

/// Classifies pictures and prints what they show.
pub fn run(args: &ClassifyArgs) -> Result<(), Failure> {
    let labels = labels(args)?;
    check_templates(&args.template)?;
    let pictures = Pictures::files(&args.images).map_err(bad_input)?;
    let model = model::load(&args.checkpoint)?;
    let counter = Counter::new("pictures classified");
    let on_progress = |done, total| counter.show(done, total);
    let report =
        twinspan_worker::eval::classify(&model, &pictures, &labels, &args.template, &on_progress);
    let report = block_on(report)?.map_err(failed)?;
    drop(counter);
    passed_over::tell(&report.passed_over);
    match args.json {
        true => say::result(serde_json::json!(report))?,
        false if report.images.is_empty() => {}
        false => say::result(blocks(&report))?,
    }
    match report.images.is_empty() {
        true => Err(failed(anyhow!(
            "none of {} pictures could be classified: convert them to JPEG, PNG or WebP",
            report.passed_over.len()
        ))),
        false => Ok(()),
    }
}

fn labels(args: &ClassifyArgs) -> Result<Vec<String>, Failure> {
    let labels: Vec<String> = match &args.labels_file {
        Some(file) => lines::read(file, "labels")?,
        None => {
            let given = args.labels.as_deref().unwrap_or_default();
            given
                .split(',')
                .map(|label| label.trim().to_owned())
                .collect()
        }
    };
    let mut seen = HashSet::new();
    for label in &labels {
        if label.is_empty() {
            return Err(bad_input(anyhow!(
                "--labels {:?} holds an empty label: give names separated by commas, such as \
                 'cat,dog'",
                args.labels.as_deref().unwrap_or_default()
            )));
        }
        if !seen.insert(label) {
            return Err(bad_input(anyhow!(
                "the label {label:?} is given twice, and would share its probability with itself: \
                 give it once"
            )));
        }
    }
    Ok(labels)
}

fn check_templates(templates: &[String]) -> Result<(), Failure> {
    match templates.iter().find(|template| !template.contains(PLACE)) {
        Some(template) => Err(bad_input(anyhow!(
            "--template {template:?} does not hold {PLACE} for the label: write it such as 'a \
             photo of a {PLACE}'"
        ))),
        None => Ok(()),
    }
}

/// One block a picture, with a blank line between two.
fn blocks(report: &ClassifyReport) -> String {
    let blocks: Vec<String> = report.images.iter().map(block).collect();
    blocks.join("\n\n")
}

fn block(picture: &ClassifiedImage) -> String {
    let shown = picture.labels.iter().take(SHOWN);
    let bars = shown.map(|one| {
        let percent = 100.0 * one.probability;
        let bar = "█".repeat((BAR * one.probability).round() as usize);
        format!("\n  {percent:5.1} %  {bar:<30}  {}", one.label)
    });
    let bars: String = bars.collect();
    let more = match picture.labels.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n  and {more} labels that are less likely"),
    };
    format!("{}{bars}{more}", picture.image)
}
