//! One shard's samples, read and decoded.

use super::InspectError;
use crate::image;
use crate::index::OnProgress;
use crate::loader::{CAPTION, PICTURES};
use crate::shard::StoredShard;
use crate::store::Stores;
use crate::tar::{Sample, SampleReader, TarError};
use crate::text::Tokenizer;
use rayon::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};
use twinspan_types::{ShardEntry, SkipReason};

/// Samples of a shard that are in memory at once.
const BATCH: u64 = 64;

/// The part of a shard that is looked at: its first `samples`.
#[derive(Debug)]
pub(super) struct Part<'i> {
    pub(super) shard: &'i ShardEntry,
    pub(super) samples: u64,
    /// Which of them are shown, in order.
    pub(super) shown: Vec<u64>,
}

/// What was seen of a part.
#[derive(Debug)]
pub(super) struct Look<'i> {
    pub(super) part: &'i Part<'i>,
    pub(super) samples: Vec<Facts>,
    /// Why the shard itself is not what it should be.
    pub(super) damage: Option<String>,
}

/// What is seen of one sample.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) key: String,
    /// Bytes of its picture and caption.
    pub(super) bytes: u64,
    pub(super) picture: Result<image::PictureFacts, SkipReason>,
    pub(super) caption: Result<Caption, SkipReason>,
}

#[derive(Debug)]
pub(super) struct Caption {
    pub(super) text: String,
    pub(super) tokens: u64,
}

/// What looking needs, for all shards.
pub(super) struct Looker<'p> {
    pub(super) stores: Stores,
    pub(super) tokenizer: Tokenizer,
    pub(super) done: AtomicU64,
    pub(super) total: u64,
    pub(super) on_progress: OnProgress<'p>,
}

impl Looker<'_> {
    /// Looks at a part of a shard; of a shard that is looked at to its end, the count is checked.
    pub(super) async fn part<'i>(&self, part: &'i Part<'i>) -> Result<Look<'i>, InspectError> {
        let shard = StoredShard::open(&self.stores, part.shard, part.shard.bytes)?;
        let mut reader = SampleReader::new(shard);
        let (mut samples, mut damage) = (Vec::new(), None);
        while damage.is_none() && reader.index() < part.samples {
            let left = part.samples - reader.index();
            let mut batch = Vec::new();
            for _ in 0..left.min(BATCH) {
                match reader.next(is_member).await {
                    Ok(Some(sample)) => batch.push(sample),
                    ended => {
                        damage = Some(damage_of(ended, part.shard.samples, reader.index())?);
                        break;
                    }
                }
            }
            let seen = batch.par_iter().map(|sample| self.facts(sample));
            samples.par_extend(seen);
            let done = self.done.fetch_add(batch.len() as u64, Ordering::Relaxed);
            (self.on_progress)(done + batch.len() as u64, self.total);
        }
        if damage.is_none() && part.samples == part.shard.samples {
            damage = self.more_than_counted(reader, part.samples).await?;
        }
        Ok(Look {
            part,
            samples,
            damage,
        })
    }

    async fn more_than_counted(
        &self,
        mut reader: SampleReader<StoredShard>,
        counted: u64,
    ) -> Result<Option<String>, InspectError> {
        loop {
            match reader.next(|_| false).await {
                Ok(Some(_)) => {}
                Ok(None) if reader.index() == counted => return Ok(None),
                ended => return damage_of(ended, counted, reader.index()).map(Some),
            }
        }
    }

    fn facts(&self, sample: &Sample) -> Facts {
        let picture = sample.member(&PICTURES);
        let caption = sample.member(&[CAPTION]);
        let bytes = [picture, caption].into_iter().flatten();
        Facts {
            key: sample.key.clone(),
            bytes: bytes.map(|bytes| bytes.len() as u64).sum(),
            picture: picture
                .ok_or(SkipReason::MissingImage)
                .and_then(|bytes| image::facts(bytes).map_err(|_| SkipReason::CorruptImage)),
            caption: caption
                .ok_or(SkipReason::MissingCaption)
                .and_then(|bytes| self.caption(bytes)),
        }
    }

    fn caption(&self, bytes: &[u8]) -> Result<Caption, SkipReason> {
        let text = std::str::from_utf8(bytes).map_err(|_| SkipReason::UndecodableText)?;
        Ok(Caption {
            text: text.to_owned(),
            tokens: self.tokenizer.encode(text).len() as u64,
        })
    }
}

fn is_member(extension: &str) -> bool {
    extension == CAPTION || PICTURES.contains(&extension)
}

/// Why a shard ended before, or went on after, the samples that it is counted to hold.
fn damage_of(
    ended: Result<Option<Sample>, TarError>,
    counted: u64,
    held: u64,
) -> Result<String, InspectError> {
    match ended {
        Err(TarError::Store(error)) => Err(error.into()),
        Err(damage) => Ok(damage.to_string()),
        Ok(_) => Ok(format!(
            "it holds {held} samples and is counted as {counted}"
        )),
    }
}
