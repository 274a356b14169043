//! The result for people.

use crate::eval::percent;
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;
use twinspan_worker::robustness::{Accuracy, ModelAccuracy, RobustnessReport};

/// The table, what it was measured on, and what it means.
pub fn text(report: &RobustnessReport) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "top-1 [95 % interval]",
        "seen styles",
        "unseen style",
        "drop in points",
        "share kept",
    ]);
    for model in &report.models {
        table.add_row(row(model));
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = table.to_string();
    if let Some(model) = report.models.first() {
        let _ = write!(
            text,
            "\nSeen: {} held-out pictures; unseen: {} pictures; {} classes, {} of them trained. Each \
             model: {} pictures, {} steps of {}.",
            model.seen.pictures,
            model.unseen.pictures,
            report.classes,
            report.trained_classes,
            report.training_pictures.held_in,
            report.steps,
            report.global_batch,
        );
    }
    for line in &report.meaning {
        let _ = write!(text, "\n{line}");
    }
    let seconds = &report.seconds;
    let _ = write!(
        text,
        "\nTime: {:.0} s (CLIP's steps {:.0} s, the classifier's {:.0} s).",
        seconds.whole, seconds.clip, seconds.supervised
    );
    text
}

fn row(model: &ModelAccuracy) -> [String; 5] {
    let kept = model.share_kept.map(percent);
    [
        model.model.clone(),
        accuracy(&model.seen),
        accuracy(&model.unseen),
        format!("{:.1}", model.drop_points),
        kept.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn accuracy(accuracy: &Accuracy) -> String {
    let [low, high] = accuracy.interval.map(|share| 100.0 * share);
    format!("{} [{low:.1}, {high:.1}]", percent(accuracy.top1))
}
