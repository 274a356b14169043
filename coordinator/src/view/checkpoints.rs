//! The checkpoints that were committed, how large they are, and how long they took.

use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use twinspan_types::{CheckpointName, Manifest, Part};

/// Checkpoints that are kept.
const MOST: usize = 100;
/// Parts of all of them together that are kept; where there are more the oldest's go.
const PARTS: usize = 4096;
/// Attempts that may be underway at once: those that were given up are forgotten.
const UNDERWAY: usize = 16;

/// Committed checkpoints, newest last, and attempts at others.
#[derive(Debug, Default)]
pub struct Checkpoints {
    underway: BTreeMap<CheckpointName, Attempt>,
    committed: VecDeque<Committed>,
}

#[derive(Debug)]
struct Attempt {
    /// When the first part was told of, since 1970.
    since: Duration,
    parts: Vec<Part>,
}

/// One checkpoint, as it is shown.
#[derive(Debug, Serialize)]
pub struct Committed {
    pub step: u64,
    directory: String,
    /// None for one that an earlier coordinator wrote.
    pub unix_seconds: Option<f64>,
    /// From the first part that was told of to the record.
    pub seconds: Option<f64>,
    pub bytes: u64,
    /// Empty for old ones of many parts.
    parts: Vec<PartDocument>,
    /// Whether it was removed since.
    retired: bool,
}

#[derive(Debug, Serialize)]
struct PartDocument {
    name: String,
    bytes: u64,
}

/// The document.
#[derive(Debug, Serialize)]
pub struct CheckpointsDocument<'v> {
    checkpoints: &'v VecDeque<Committed>,
}

impl Checkpoints {
    /// Takes one that an earlier coordinator wrote.
    pub fn recover(&mut self, manifest: &Manifest) {
        self.push(manifest.name, &manifest.parts, None, None);
    }

    /// A rank has stored parts of an attempt.
    pub fn part_stored(&mut self, now: Duration, name: CheckpointName) {
        let known = |committed: &Committed| committed.directory == name.directory();
        if self.committed.iter().rev().take(UNDERWAY).any(known) {
            return;
        }
        self.underway.entry(name).or_insert(Attempt {
            since: now,
            parts: Vec::new(),
        });
        while self.underway.len() > UNDERWAY {
            let oldest = self
                .underway
                .iter()
                .min_by_key(|(_, attempt)| attempt.since);
            let oldest = oldest.map(|(name, _)| *name);
            oldest.and_then(|name| self.underway.remove(&name));
        }
    }

    /// All parts are stored.
    pub fn complete(&mut self, now: Duration, manifest: &Manifest) {
        self.part_stored(now, manifest.name);
        if let Some(attempt) = self.underway.get_mut(&manifest.name) {
            attempt.parts.clone_from(&manifest.parts);
        }
    }

    /// Its record is logged.
    pub fn commit(&mut self, now: Duration, name: CheckpointName) {
        if let Some(Attempt { since, parts }) = self.underway.remove(&name) {
            let seconds = now.saturating_sub(since).as_secs_f64();
            self.push(name, &parts, Some(now.as_secs_f64()), Some(seconds));
        }
    }

    /// Retention removes it, or it is damaged.
    pub fn retire(&mut self, name: CheckpointName) {
        let directory = name.directory();
        for committed in &mut self.committed {
            committed.retired |= committed.directory == directory;
        }
    }

    /// The newest that is in force.
    pub fn newest(&self) -> Option<&Committed> {
        let mut newest = self.committed.iter().rev();
        newest.find(|committed| !committed.retired)
    }

    /// What is shown.
    pub fn document(&self) -> CheckpointsDocument<'_> {
        CheckpointsDocument {
            checkpoints: &self.committed,
        }
    }

    fn push(
        &mut self,
        name: CheckpointName,
        parts: &[Part],
        unix_seconds: Option<f64>,
        seconds: Option<f64>,
    ) {
        let shown = parts.iter().map(|part| PartDocument {
            name: part.name.clone(),
            bytes: part.bytes,
        });
        self.committed.push_back(Committed {
            step: name.step.0,
            directory: name.directory(),
            unix_seconds,
            seconds,
            bytes: parts.iter().map(|part| part.bytes).sum(),
            parts: shown.collect(),
            retired: false,
        });
        if self.committed.len() > MOST {
            self.committed.pop_front();
        }
        let mut count = 0;
        for committed in self.committed.iter_mut().rev() {
            count += committed.parts.len();
            if count > PARTS {
                committed.parts = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{Generation, Nonce, Step, WorldSize};

    fn manifest(step: u64, parts: usize) -> Manifest {
        let part = |number: usize| Part {
            name: format!("part-{number}"),
            bytes: 10,
            sha256: String::new(),
        };
        Manifest {
            version: 1,
            run: "r".to_owned(),
            name: CheckpointName {
                step: Step(step),
                attempt: Nonce(step),
            },
            generation: Generation(1),
            world_size: WorldSize(1),
            seed: 0,
            cursors: Vec::new(),
            parts: (0..parts).map(part).collect(),
        }
    }

    fn commit(checkpoints: &mut Checkpoints, manifest: &Manifest) {
        let at = Duration::from_secs(manifest.name.step.0);
        checkpoints.part_stored(at, manifest.name);
        checkpoints.part_stored(at + Duration::from_millis(300), manifest.name);
        checkpoints.complete(at + Duration::from_millis(400), manifest);
        checkpoints.commit(at + Duration::from_millis(500), manifest.name);
        // An answer that was lost is asked for again.
        checkpoints.part_stored(at + Duration::from_secs(1), manifest.name);
    }

    #[test]
    fn a_checkpoint_takes_from_its_first_part_to_its_record() {
        let mut checkpoints = Checkpoints::default();
        checkpoints.recover(&manifest(10, 1));
        commit(&mut checkpoints, &manifest(20, 3));
        let newest = checkpoints.newest().expect("committed");
        assert_eq!((newest.step, newest.bytes), (20, 30));
        assert_eq!(newest.seconds, Some(0.5));
        assert_eq!(newest.unix_seconds, Some(20.5));
        assert!(checkpoints.underway.is_empty());
        checkpoints.retire(manifest(20, 0).name);
        assert_eq!(checkpoints.newest().map(|newest| newest.step), Some(10));
        // Retired ones are shown, and said to be.
        let shown = serde_json::json!(checkpoints.document());
        assert_eq!(shown["checkpoints"][1]["retired"], true);
        assert_eq!(shown["checkpoints"][0]["seconds"], serde_json::Value::Null);
    }

    #[test]
    fn attempts_and_parts_of_large_worlds_stay_few() {
        let mut checkpoints = Checkpoints::default();
        for step in 0..200 {
            commit(&mut checkpoints, &manifest(step, 1026));
            checkpoints.part_stored(Duration::ZERO, manifest(1000 + step, 0).name);
        }
        assert_eq!(checkpoints.committed.len(), MOST);
        assert!(checkpoints.underway.len() <= UNDERWAY);
        let parts = checkpoints.committed.iter().map(|one| one.parts.len());
        assert!(parts.sum::<usize>() <= PARTS);
        assert_eq!(checkpoints.committed[MOST - 1].parts.len(), 1026);
        assert_eq!(checkpoints.committed[0].bytes, 10_260);
    }
}
