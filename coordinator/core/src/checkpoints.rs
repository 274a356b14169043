//! Checkpoints that exist, are being made to exist, or are being retired.

use std::collections::BTreeSet;
use twinspan_types::config::CheckpointConfig;
use twinspan_types::{CheckpointName, Generation, Manifest, Stamp};

/// The ledger of checkpoints.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    policy: CheckpointConfig,
    /// What is in force and the generation that wrote it, in the order of the records.
    kept: Vec<(CheckpointName, Generation)>,
    /// All parts stored; manifest or record still on the way. With whether all ranks leave after.
    underway: Vec<(Manifest, bool)>,
    /// What was in force when the term began, and what it has committed since, retired or not.
    committed: BTreeSet<CheckpointName>,
}

impl Checkpoints {
    pub(crate) fn new(policy: CheckpointConfig, kept: Vec<(CheckpointName, Generation)>) -> Self {
        Self {
            policy,
            committed: kept.iter().map(|(name, _)| *name).collect(),
            kept,
            underway: Vec::new(),
        }
    }

    pub(crate) fn latest(&self) -> Option<CheckpointName> {
        self.kept.last().map(|(name, _)| *name)
    }

    /// What state the latest checkpoint holds.
    pub(crate) fn latest_stamp(&self) -> Option<Stamp> {
        self.kept.last().map(|(name, generation)| Stamp {
            generation: *generation,
            step: name.step,
        })
    }

    /// Takes out of force what cannot be used.
    pub(crate) fn damaged(&mut self, name: &CheckpointName) {
        self.kept.retain(|(kept, _)| kept != name);
    }

    pub(crate) fn is_committed(&self, name: &CheckpointName) -> bool {
        self.committed.contains(name)
    }

    pub(crate) fn is_underway(&self, name: &CheckpointName) -> bool {
        self.underway
            .iter()
            .any(|(manifest, _)| manifest.name == *name)
    }

    /// Every part is stored; the manifest is next.
    pub(crate) fn begin(&mut self, manifest: Manifest, stop: bool) {
        self.underway.push((manifest, stop));
    }

    /// The manifest of an attempt that is underway.
    pub(crate) fn manifest(&self, name: &CheckpointName) -> Option<&Manifest> {
        let mut manifests = self.underway.iter().map(|(manifest, _)| manifest);
        manifests.find(|manifest| manifest.name == *name)
    }

    /// The record is logged: the checkpoint exists. Returns whether all ranks leave after it;
    /// nothing when it was not underway.
    pub(crate) fn commit(&mut self, name: CheckpointName) -> Option<bool> {
        let at = self
            .underway
            .iter()
            .position(|(manifest, _)| manifest.name == name)?;
        let (manifest, stop) = self.underway.remove(at);
        self.kept.push((name, manifest.generation));
        self.committed.insert(name);
        Some(stop)
    }

    /// Drops from the ledger, and returns, what the policy no longer keeps.
    pub(crate) fn retire(&mut self) -> Vec<CheckpointName> {
        let newest = self.policy.keep_last.max(1) as usize;
        let every = self.policy.keep_every;
        let old = self.kept.len().saturating_sub(newest);
        let for_good = |name: &CheckpointName| every > 0 && name.step.0.is_multiple_of(every);
        let names = self.kept[..old].iter().map(|(name, _)| *name);
        let retired: Vec<CheckpointName> = names.filter(|name| !for_good(name)).collect();
        self.kept.retain(|(name, _)| !retired.contains(name));
        retired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::{MANIFEST_VERSION, Nonce, Step, WorldSize};

    fn ledger(keep_last: u32, keep_every: u64) -> Checkpoints {
        let policy = CheckpointConfig {
            every_steps: 10,
            every_minutes: None,
            keep_last,
            keep_every,
        };
        Checkpoints::new(policy, Vec::new())
    }

    fn commit(ledger: &mut Checkpoints, step: u64) -> Vec<u64> {
        let name = CheckpointName {
            step: Step(step),
            attempt: Nonce(step),
        };
        let manifest = Manifest {
            version: MANIFEST_VERSION,
            run: "r".to_owned(),
            name,
            generation: Generation(1),
            world_size: WorldSize(1),
            seed: 0,
            cursors: Vec::new(),
            parts: Vec::new(),
        };
        ledger.begin(manifest, false);
        assert_eq!(ledger.commit(name), Some(false));
        ledger
            .retire()
            .into_iter()
            .map(|name| name.step.0)
            .collect()
    }

    #[test]
    fn the_newest_and_the_multiples_are_kept() {
        let mut ledger = ledger(2, 30);
        let retired: Vec<Vec<u64>> = (1..=6).map(|n| commit(&mut ledger, n * 10)).collect();
        assert_eq!(
            retired,
            [vec![], vec![], vec![10], vec![20], vec![], vec![40]]
        );
        let kept: Vec<u64> = ledger.kept.iter().map(|(name, _)| name.step.0).collect();
        assert_eq!(kept, [30, 50, 60]);
    }

    #[test]
    fn the_latest_is_kept_whatever_the_policy() {
        let mut ledger = ledger(0, 0);
        assert!(commit(&mut ledger, 10).is_empty());
        assert_eq!(commit(&mut ledger, 20), [10]);
        assert_eq!(ledger.latest().map(|name| name.step.0), Some(20));
    }
}
