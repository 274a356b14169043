//! The run file's `eval` section: what is measured while a run goes on and when it ends.

use super::parse::Folder;
use super::reader::Section;
use crate::Step;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is measured while the run goes on and when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EvalConfig {
    /// Steps from one evaluation to the next; 0: the last step's alone.
    pub every_steps: u64,
    /// On what; nothing is measured without one.
    pub sets: Vec<EvalSource>,
}

/// A set to measure on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvalSource {
    /// Its name among the metrics; every set has another.
    pub name: String,
    /// What is measured on it.
    #[serde(flatten)]
    pub task: EvalTask,
}

/// What is measured on a set, and where it lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvalTask {
    /// Zero-shot classification: the root of a labelled set, as a URL ending in `/`.
    ZeroShot(String),
    /// Retrieval: a URL ending in `/` or shard URLs with braces, of pictures with captions.
    Retrieval(String),
}

impl EvalConfig {
    /// What the names of all metrics of evaluations start with.
    pub const METRICS: &'static str = "val/";

    /// Whether the weights of a step are measured, in a run of `last` steps.
    #[must_use]
    pub fn is_due(&self, step: Step, last: Step) -> bool {
        let regular = self.every_steps > 0 && step.0.is_multiple_of(self.every_steps);
        !self.sets.is_empty() && step > Step(0) && (step >= last || regular)
    }

    /// The name of a set's metric, as open_clip has it: `val/<set>-zeroshot-val-top1`, and
    /// `val/image_to_text_R@1` where only one set is for retrieval, as open_clip knows only one.
    #[must_use]
    pub fn metric(&self, set: &EvalSource, figure: &str) -> String {
        let is_retrieval = |set: &&EvalSource| matches!(set.task, EvalTask::Retrieval(_));
        let only_one = self.sets.iter().filter(is_retrieval).count() == 1;
        match is_retrieval(&set) && only_one {
            true => format!("{}{figure}", Self::METRICS),
            false => format!("{}{}-{figure}", Self::METRICS, set.name),
        }
    }
}

pub(super) fn eval(mut section: Section<'_>, folder: &Folder<'_>) -> EvalConfig {
    let config = EvalConfig {
        every_steps: section.integer("every_steps", 0),
        sets: sets(&mut section, folder),
    };
    section.finish();
    config
}

fn sets(section: &mut Section<'_>, folder: &Folder<'_>) -> Vec<EvalSource> {
    let mut names = BTreeSet::new();
    let mut sets = Vec::new();
    for mut entry in section.sections("sets") {
        let set = source(&mut entry, folder);
        if let Some(set) = set {
            if !names.insert(set.name.clone()) {
                let message = format!("{:?} names two sets; give each a name of its own", set.name);
                entry.fault("name", message);
            }
            sets.push(set);
        }
        entry.finish();
    }
    sets
}

fn source(entry: &mut Section<'_>, folder: &Folder<'_>) -> Option<EvalSource> {
    let name = entry.required_string("name", "imagenet");
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(allowed) {
        entry.fault("name", format!("{name:?} may hold a-z A-Z 0-9 - _ ."));
    }
    let zero_shot = entry.string("zero_shot").map(|path| folder.url(&path));
    let retrieval = entry.string("retrieval").map(|path| folder.url(&path));
    let task = match (zero_shot, retrieval) {
        (Some(root), None) => EvalTask::ZeroShot(root),
        (None, Some(shards)) => EvalTask::Retrieval(shards),
        (Some(_), Some(_)) => {
            let message = "stands beside zero_shot; give two sets, each with a name of its own";
            entry.fault("retrieval", message);
            return None;
        }
        (None, None) => {
            let message = "is missing, and so is retrieval; give the set's URL as one of them";
            entry.fault("zero_shot", message);
            return None;
        }
    };
    Some(EvalSource { name, task })
}
