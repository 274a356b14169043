//! `twinspan checkpoint`: what a run has saved, and whether it is still what was written.

use crate::args::{CheckpointTask, ListArgs, VerifyArgs};
use crate::counter::Counter;
use crate::exit::{Failure, bad_input, failed, failure};
use crate::runtime::block_on;
use crate::say;
use anyhow::anyhow;
use comfy_table::{Table, presets};
use indicatif::HumanBytes;
use serde_json::{Value, json};
use twinspan_coordinator::{CheckedCheckpoint, CoordinatorError, KeptCheckpoint, Soundness};
use twinspan_types::config::url_of_path;

/// Does one of them.
pub fn run(task: &CheckpointTask) -> Result<(), Failure> {
    match task {
        CheckpointTask::List(args) => list(args),
        CheckpointTask::Verify(args) => verify(args),
    }
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let url = url_of_path(&args.run);
    let kept = kept(&url)?;
    match (args.json, kept.is_empty()) {
        (true, _) => say::result(as_json(&kept)),
        (false, true) => {
            say::log(no_checkpoint(&url));
            Ok(())
        }
        (false, false) => say::result(listed(&kept)),
    }
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let url = url_of_path(&args.run);
    let kept = kept(&url)?;
    if kept.is_empty() {
        return Err(bad_input(anyhow!(no_checkpoint(&url))));
    }
    let wanted = match &args.checkpoint {
        Some(name) => vec![named(&url, kept, name)?],
        None => kept,
    };
    let counter = Counter::new("MiB checked");
    let on_progress = |done: u64, total: u64| counter.show(done >> 20, total >> 20);
    let checked = twinspan_coordinator::check_checkpoints(&url, &wanted, &on_progress);
    let checked = block_on(checked)?.map_err(of_run)?;
    drop(counter);
    say::result(match args.json {
        true => json!(checked).to_string(),
        false => verified(&checked),
    })?;
    let is_damaged = |one: &&CheckedCheckpoint| matches!(one.soundness, Soundness::Damaged { .. });
    match checked.iter().filter(is_damaged).count() {
        0 => Ok(()),
        damaged => Err(failed(anyhow!(
            "{url}: {damaged} of {} checkpoints damaged: put the files back from a copy, or remove \
             the checkpoint's directory, and the run goes on from an older one",
            checked.len()
        ))),
    }
}

fn kept(url: &str) -> Result<Vec<KeptCheckpoint>, Failure> {
    block_on(twinspan_coordinator::kept_checkpoints(url))?.map_err(of_run)
}

fn of_run(error: CoordinatorError) -> Failure {
    failure(error.is_bad_input(), error)
}

fn no_checkpoint(url: &str) -> String {
    format!("{url} has no checkpoint yet: train until checkpoint.every_steps, or stop with Ctrl-C")
}

/// The checkpoint of this name, given with or without the path before it.
fn named(url: &str, kept: Vec<KeptCheckpoint>, given: &str) -> Result<KeptCheckpoint, Failure> {
    let name = given.trim_end_matches('/').rsplit('/').next();
    let all: Vec<String> = kept.iter().map(|one| one.name.to_string()).collect();
    let mut kept = kept.into_iter();
    let found = kept.find(|one| Some(one.name.to_string().as_str()) == name);
    found.ok_or_else(|| {
        bad_input(anyhow!(
            "{url} has no checkpoint {given:?} in force: name one of {}",
            all.join(", ")
        ))
    })
}

fn listed(kept: &[KeptCheckpoint]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "step",
        "directory",
        "world size",
        "generation",
        "parts",
        "bytes",
        "",
    ]);
    for (at, one) in kept.iter().enumerate() {
        let (world_size, parts, bytes, remark) = match &one.manifest {
            Ok(manifest) => (
                manifest.world_size.to_string(),
                one.parts().to_string(),
                HumanBytes(one.bytes()).to_string(),
                match at + 1 == kept.len() {
                    true => "newest".to_owned(),
                    false => String::new(),
                },
            ),
            Err(fault) => {
                let unknown = || "?".to_owned();
                (unknown(), unknown(), unknown(), fault.to_string())
            }
        };
        table.add_row([
            one.name.step.to_string(),
            one.name.directory(),
            world_size,
            one.generation.to_string(),
            parts,
            bytes,
            remark,
        ]);
    }
    table
}

fn as_json(kept: &[KeptCheckpoint]) -> Value {
    let lines = kept.iter().enumerate().map(|(at, one)| {
        let manifest = one.manifest.as_ref();
        json!({
            "step": one.name.step,
            "directory": one.name.directory(),
            "world_size": manifest.ok().map(|manifest| manifest.world_size),
            "generation": one.generation,
            "parts": manifest.ok().map(|_| one.parts()),
            "bytes": manifest.ok().map(|_| one.bytes()),
            "newest": at + 1 == kept.len(),
            "fault": manifest.err(),
        })
    });
    lines.collect()
}

/// A line for each checkpoint, and one for each of its faults.
fn verified(checked: &[CheckedCheckpoint]) -> String {
    let lines = checked.iter().flat_map(|one| {
        let (directory, parts, bytes) = (&one.directory, one.parts, HumanBytes(one.bytes));
        let (line, faults) = match &one.soundness {
            Soundness::Whole => (format!("whole, {parts} parts, {bytes}"), [].as_slice()),
            Soundness::Damaged { faults } => ("damaged".to_owned(), faults.as_slice()),
            Soundness::Retired => ("retired by the run meanwhile".to_owned(), [].as_slice()),
        };
        let faults = faults.iter().map(|fault| format!("  {fault}"));
        std::iter::once(format!("{directory}: {line}")).chain(faults)
    });
    lines.collect::<Vec<_>>().join("\n")
}
