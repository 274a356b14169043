//! `twinspan data index`: which shards there are, and how many samples each holds.

use crate::args::IndexArgs;
use crate::counter::Counter;
use crate::eval;
use crate::exit::{Failure, bad_input, failed, failure};
use crate::runtime::block_on;
use crate::say;
use anyhow::anyhow;
use indicatif::HumanBytes;
use serde_json::json;
use twinspan_data::index::Survey;
use twinspan_data::{Counting, Directory, Stores};
use twinspan_types::Index;
use twinspan_types::config::url_of_path;

/// Indexes shards, prints what there is, and writes the index.
pub fn run(args: &IndexArgs) -> Result<(), Failure> {
    let urls = super::urls(&args.urls)?;
    let survey = survey(&urls, args.scan)?;
    match args.json {
        true => say::result(as_json(&survey))?,
        false => say::result(eval::table(&rows(&survey)))?,
    }
    check(&survey)?;
    match &args.out {
        Some(out) => write(&survey.index, out),
        None => Ok(()),
    }
}

fn survey(urls: &[String], scan: bool) -> Result<Survey, Failure> {
    let counting = match scan {
        true => Counting::Scan,
        false => Counting::Written,
    };
    let counter = Counter::new("shards counted");
    let on_progress = |done, total| counter.show(done, total);
    block_on(twinspan_data::survey(urls, counting, &[], &on_progress))?
        .map_err(|error| failure(error.is_bad_input(), error))
}

/// Written counts that are wrong are told all at once.
fn check(survey: &Survey) -> Result<(), Failure> {
    if survey.differences.is_empty() {
        return Ok(());
    }
    let lines = survey.differences.iter().map(|one| format!("\n  {one}"));
    Err(failed(anyhow!(
        "{} written counts are wrong; correct them, or remove them so that the shards are \
         counted:{}",
        survey.differences.len(),
        lines.collect::<String>()
    )))
}

fn write(index: &Index, out: &str) -> Result<(), Failure> {
    let url = url_of_path(out);
    let (folder, file) = url.rsplit_once('/').unwrap_or(("", &url));
    let text = format!("{}\n", json!(index));
    block_on(async {
        let directory = Directory::open(&Stores::default(), folder).map_err(bad_input)?;
        directory.write(file, text.into()).await.map_err(failed)
    })?
}

fn bytes(index: &Index) -> u64 {
    index.shards.iter().map(|shard| shard.bytes).sum()
}

fn rows(survey: &Survey) -> Vec<(String, String)> {
    let index = &survey.index;
    let row = |name: &str, value: String| (name.to_owned(), value);
    vec![
        row("shards", index.shards.len().to_string()),
        row("samples", index.samples().to_string()),
        row("bytes", HumanBytes(bytes(index)).to_string()),
        row("shards that were counted", survey.counted.to_string()),
    ]
}

fn as_json(survey: &Survey) -> serde_json::Value {
    json!({
        "shards": survey.index.shards.len(),
        "samples": survey.index.samples(),
        "bytes": bytes(&survey.index),
        "counted": survey.counted,
        "differences": survey.differences,
    })
}
