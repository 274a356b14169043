//! The labels of a set without its pictures.

use super::reader::{LABEL, Labels, label_of};
use super::{EvalError, EvalSet, Samples};
use crate::shard::StoredShard;
use crate::tar::Sample;

impl EvalSet {
    /// Key and label of every sample that has one; no picture is read. The key of a picture in a
    /// folder of classes is its path without the extension.
    ///
    /// # Errors
    /// When a shard cannot be read to its end, a label names no class, or the store fails.
    pub(crate) async fn labels(&self) -> Result<Vec<(String, usize)>, EvalError> {
        let shards = match &self.samples {
            Samples::Shards(shards) => shards,
            Samples::Files(files) => {
                let stem = |key: &str| match key.rsplit_once('.') {
                    Some((stem, _)) => stem.to_owned(),
                    None => key.to_owned(),
                };
                let labels = files.iter().map(|file| (stem(&file.key), file.label));
                return Ok(labels.collect());
            }
        };
        let mut labels = Vec::new();
        for object in shards {
            let mut reader = StoredShard::samples(&self.stores, object)?;
            let bad = |error| EvalError::of_shard(&object.url, error);
            while let Some(sample) = reader.next(|ext| ext == LABEL).await.map_err(bad)? {
                let label = label_of(&sample, self.labels, &object.url)?;
                labels.extend(label.map(|label| (sample.key, label)));
            }
        }
        Ok(labels)
    }
}

/// The class in a training sample's `.cls` member, which must be one of so many; none where it has
/// no such member.
pub(crate) fn class_below(
    sample: &Sample,
    classes: usize,
    url: &str,
) -> Result<Option<usize>, EvalError> {
    match sample.member(&[LABEL]) {
        None => Ok(None),
        Some(_) => label_of(sample, Labels::Below(classes), url),
    }
}
