//! The class of every training picture: from its `.cls` member, else from its key.

use super::{HoldOutError, is_held_out};
use crate::dataset::{EvalError, EvalSet, LABEL, class_below};
use crate::index;
use crate::shard::StoredShard;
use crate::store::{Object, Stores};
use crate::tar::Sample;
use std::collections::{BTreeMap, HashMap};
use twinspan_types::Index;

/// The classes of all training pictures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    by_key: HashMap<String, usize>,
    pictures: u64,
    held_out: u64,
}

impl Labels {
    /// The class of a picture.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// Pictures that are trained on.
    #[must_use]
    pub const fn held_in(&self) -> u64 {
        self.pictures - self.held_out
    }

    /// Pictures that are kept from training.
    #[must_use]
    pub const fn held_out(&self) -> u64 {
        self.held_out
    }

    /// Classes with a picture that is trained on.
    #[must_use]
    pub fn trained_classes(&self) -> usize {
        let held_in = self.by_key.iter().filter(|(key, _)| !is_held_out(key));
        let mut classes: Vec<usize> = held_in.map(|(_, class)| *class).collect();
        classes.sort_unstable();
        classes.dedup();
        classes.len()
    }

    fn insert(&mut self, key: String, label: usize) -> Result<(), HoldOutError> {
        self.pictures += 1;
        self.held_out += u64::from(is_held_out(&key));
        match self.by_key.get(&key) {
            Some(&other) if other != label => Err(HoldOutError::OneKey {
                key,
                one: other,
                other: label,
            }),
            _ => {
                self.by_key.insert(key, label);
                Ok(())
            }
        }
    }
}

/// Reads the class of every picture of a run's shards; no picture is read. A key's class is what
/// stands behind its last `_`, where the test set has keys with the same ending and one label.
///
/// # Errors
/// A picture has no class, the test set is empty, or shards cannot be read.
pub async fn read_labels(index: &Index, set: &EvalSet) -> Result<Labels, HoldOutError> {
    let classes = set.classes.len();
    let endings = endings(set).await?;
    let stores = Stores::default();
    let mut labels = Labels::default();
    let mut without: Option<(Sample, String, String)> = None;
    let mut count = 0;
    for object in index.shards.iter().map(index::object) {
        let mut reader = StoredShard::samples(&stores, &object)?;
        let bad = |error| EvalError::of_shard(&object.url, error);
        while let Some(sample) = reader.next(|ext| ext == LABEL).await.map_err(bad)? {
            match label(&sample, &object, classes, &endings)? {
                Ok(label) => labels.insert(sample.key, label)?,
                Err(reason) => {
                    count += 1;
                    without.get_or_insert((sample, object.url.clone(), reason));
                }
            }
        }
    }
    if let Some((sample, url, reason)) = without {
        return Err(HoldOutError::NoLabel {
            count,
            of: labels.pictures + count,
            key: sample.key,
            url,
            reason,
        });
    }
    match labels.held_in().min(labels.held_out()) {
        0 => Err(HoldOutError::TooFew {
            pictures: labels.pictures,
            held_out: labels.held_out,
        }),
        _ => Ok(labels),
    }
}

/// A sample's class, or why it has none.
fn label(
    sample: &Sample,
    shard: &Object,
    classes: usize,
    endings: &BTreeMap<String, Option<usize>>,
) -> Result<Result<usize, String>, HoldOutError> {
    if let Some(label) = class_below(sample, classes, &shard.url)? {
        return Ok(Ok(label));
    }
    let Some(ending) = ending(&sample.key) else {
        return Ok(Err("it has no .cls member, and no _ in its key".to_owned()));
    };
    Ok(match endings.get(ending) {
        Some(Some(label)) => Ok(*label),
        Some(None) => Err(format!(
            "the test set's keys that end in _{ending} have different labels"
        )),
        None => Err(format!(
            "it has no .cls member, and no key of the test set ends in _{ending}"
        )),
    })
}

/// What stands behind a key's last `_`.
fn ending(key: &str) -> Option<&str> {
    key.rsplit_once('_').map(|(_, ending)| ending)
}

/// The label that the test set's keys of one ending have in common, if they have.
async fn endings(set: &EvalSet) -> Result<BTreeMap<String, Option<usize>>, HoldOutError> {
    let labels = set.labels().await?;
    if labels.is_empty() {
        return Err(HoldOutError::EmptyTestSet {
            url: set.url.clone(),
        });
    }
    let mut endings = BTreeMap::new();
    for (key, label) in labels {
        if let Some(ending) = ending(&key) {
            let common = endings.entry(ending.to_owned()).or_insert(Some(label));
            *common = common.filter(|common| *common == label);
        }
    }
    Ok(endings)
}
