//! `twinspan data audit`: proof from a run's own files that no sample is missing or double.

use crate::args::AuditArgs;
use crate::counter::Counter;
use crate::eval::table;
use crate::exit::{Failure, bad_input, failed};
use crate::runtime::block_on;
use crate::say;
use anyhow::anyhow;
use serde_json::json;
use twinspan_data::{AuditReport, Keys};
use twinspan_types::config::url_of_path;

/// Faults that are printed; all are in the JSON.
const PRINTED: usize = 20;

/// Audits one run.
pub fn run(args: &AuditArgs) -> Result<(), Failure> {
    let url = url_of_path(&args.run);
    let (_, files) = block_on(twinspan_coordinator::read_run(&url))?.map_err(bad_input)?;
    let counter = Counter::new("shards read");
    let total = files.index.shards.len() as u64;
    let mut read = 0;
    let keys = block_on(Keys::read(&files, || {
        read += 1;
        counter.show(read, total);
    }))?;
    drop(counter);
    let report = twinspan_data::audit(&files, &keys.map_err(failed)?).map_err(failed)?;
    say::result(match args.json {
        true => json!(report).to_string(),
        false => describe(&url, &report),
    })?;
    match report.faults.len() {
        0 => Ok(()),
        faults => Err(failed(anyhow!("{url}: the ledger has {faults} faults"))),
    }
}

fn describe(url: &str, report: &AuditReport) -> String {
    let mut rows = vec![
        ("run".to_owned(), url.to_owned()),
        ("steps".to_owned(), report.steps.to_string()),
        ("samples used".to_owned(), report.used.to_string()),
        ("samples skipped".to_owned(), report.skipped.to_string()),
    ];
    if report.unproven > 0 {
        let what = format!(
            "{}: they used a quarantined shard's samples",
            report.unproven
        );
        rows.push(("steps that cannot be proved".to_owned(), what));
    }
    let mixed = report.epochs.iter().any(|epoch| epoch.source.0 > 0);
    for epoch in &report.epochs {
        let name = match mixed {
            true => format!("source {}, epoch {}", epoch.source, epoch.epoch),
            false => format!("epoch {}", epoch.epoch),
        };
        let state = match epoch.left() {
            0 => "every sample once".to_owned(),
            left => format!("{left} still to come"),
        };
        rows.push((
            name,
            format!(
                "{} of {} used, {} skipped: {state}",
                epoch.used, epoch.samples, epoch.skipped
            ),
        ));
    }
    let mut text = table(&rows).to_string();
    let faults = report.faults.iter().map(ToString::to_string);
    for fault in faults.take(PRINTED) {
        text.push_str(&format!("\n{fault}"));
    }
    if let Some(more) = report.faults.len().checked_sub(PRINTED + 1) {
        text.push_str(&format!("\nand {} more", more + 1));
    }
    text
}
