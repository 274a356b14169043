//! The labels of a set without its pictures.

use super::reader::{LABEL, Labels, label_of};
use super::{EvalError, EvalSet, Samples};
use crate::index;
use crate::shard::StoredShard;
use crate::tar::{SampleReader, TarError};

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
            let shard = StoredShard::open(&self.stores, &index::entry(object, 0), object.bytes)?;
            let mut reader = SampleReader::new(shard);
            let url = &object.url;
            loop {
                let sample = match reader.next(|extension| extension == LABEL).await {
                    Ok(Some(sample)) => sample,
                    Ok(None) => break,
                    Err(TarError::Store(error)) => return Err(error.into()),
                    Err(source) => {
                        let url = url.clone();
                        return Err(EvalError::BadShard { url, source });
                    }
                };
                let text = sample.member(&[LABEL]).map(|body| text(body));
                let label = label_of(text, self.labels).map_err(|reason| EvalError::BadLabel {
                    url: url.clone(),
                    key: sample.key.clone(),
                    reason,
                })?;
                labels.extend(label.map(|label| (sample.key, label)));
            }
        }
        Ok(labels)
    }
}

/// The class in a `.cls` member, which must be one of so many.
pub(crate) fn class_below(body: &[u8], classes: usize) -> Result<usize, String> {
    let label = label_of(Some(text(body)), Labels::Below(classes))?;
    label.ok_or_else(|| "it has no label".to_owned())
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).trim().to_owned()
}
