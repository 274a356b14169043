//! Raw samples to pixels and tokens, by a pool of threads.

use super::LoaderConfig;
use super::read::{Content, Event, PICTURES, Raw};
use crate::image::{self, Transformer, augmentation};
use crate::text::Tokenizer;
use crossbeam_channel::{Receiver, Sender};
use serde_json::Value;
use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use twinspan_types::config::{AugmentationConfig, Captions};
use twinspan_types::{Epoch, Index, ShardId, SkipReason};

/// One sample to decode.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) slot: usize,
    pub(super) sequence: u64,
    pub(super) epoch: Epoch,
    pub(super) raw: Raw,
}

/// What became of a sample; a function of its bytes, the seed and the epoch.
#[derive(Debug)]
pub(super) enum Outcome {
    Good {
        key: String,
        pixels: Vec<u8>,
        caption: Vec<u32>,
    },
    Bad {
        key: String,
        reason: SkipReason,
        detail: String,
    },
}

/// When a sample was worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worked {
    pub(super) from: Instant,
    pub(super) took: Duration,
}

/// Why a sample cannot be used.
type Unusable = (SkipReason, String);

/// One thread of the pool.
pub(super) struct Decoder {
    seed: u64,
    index: Arc<Index>,
    image_size: u32,
    crop_scale_min: f64,
    augmentation: AugmentationConfig,
    tokenizer: Arc<Tokenizer>,
    transformer: Transformer,
    delay: Duration,
}

impl Decoder {
    pub(super) fn new(config: &LoaderConfig) -> Self {
        Self {
            seed: config.order.seed,
            index: Arc::clone(&config.index),
            image_size: config.image_size,
            crop_scale_min: config.crop_scale_min,
            augmentation: config.augmentation,
            tokenizer: Arc::clone(&config.tokenizer),
            transformer: Transformer::new(config.image_size),
            delay: config.decode_delay,
        }
    }

    /// Works until the jobs end or nobody wants the outcomes.
    pub(super) fn run(mut self, jobs: &Receiver<Job>, outcomes: &Sender<Event>) {
        for Job {
            slot,
            sequence,
            epoch,
            raw,
        } in jobs
        {
            let from = Instant::now();
            let outcome = self.outcome(epoch, raw);
            std::thread::sleep(self.delay);
            let took = from.elapsed();
            let worked = Worked { from, took };
            let decoded = Event::Decoded(slot, sequence, outcome, worked);
            if outcomes.send(decoded).is_err() {
                return;
            }
        }
    }

    fn outcome(&mut self, epoch: Epoch, raw: Raw) -> Outcome {
        let (key, picture, caption) = match raw.content {
            Content::Found {
                key,
                picture,
                caption,
            } => (key, picture, caption),
            Content::Lost { reason, detail } => {
                return Outcome::Bad {
                    key: format!("#{}", raw.index),
                    reason,
                    detail: detail.to_string(),
                };
            }
        };
        let members = (picture.as_deref(), caption.as_deref());
        match self.decode(epoch, raw.shard, &key, members) {
            Ok((pixels, caption)) => Outcome::Good {
                key,
                pixels,
                caption,
            },
            Err((reason, detail)) => Outcome::Bad {
                key,
                reason,
                detail,
            },
        }
    }

    /// A sample's caption, from the member that its source keeps it in.
    fn caption<'c>(
        &self,
        shard: ShardId,
        key: &str,
        member: Option<&'c [u8]>,
    ) -> Result<Cow<'c, str>, Unusable> {
        let captions = self.index.captions(shard);
        let missing = |what: String| (SkipReason::MissingCaption, what);
        let broken = |what: String| (SkipReason::UndecodableText, what);
        let member =
            member.ok_or_else(|| missing(format!("no member {key}.{}", captions.extension())))?;
        let text = std::str::from_utf8(member).map_err(|error| broken(error.to_string()))?;
        let Captions::JsonField(field) = captions else {
            return Ok(text.into());
        };
        let json: Value = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        match json.get(field) {
            Some(Value::String(caption)) => Ok(caption.clone().into()),
            _ => Err(missing(format!("{key}.json holds no text {field:?}"))),
        }
    }

    fn decode(
        &mut self,
        epoch: Epoch,
        shard: ShardId,
        key: &str,
        (picture, caption): (Option<&[u8]>, Option<&[u8]>),
    ) -> Result<(Vec<u8>, Vec<u32>), Unusable> {
        let picture = picture.ok_or_else(|| {
            (
                SkipReason::MissingImage,
                format!("no member {key}.{{{}}}", PICTURES.join(",")),
            )
        })?;
        let caption = self.caption(shard, key, caption)?;
        let tokens = guarded(SkipReason::UndecodableText, || {
            Ok(self.tokenizer.encode(&caption))
        })?;
        let pixels = guarded(SkipReason::CorruptImage, || {
            let mut random = augmentation(self.seed, epoch, key);
            let (crop_scale_min, colours) = (self.crop_scale_min, &self.augmentation);
            self.transformer
                .train(picture, crop_scale_min, colours, &mut random)
        });
        if pixels.is_err() {
            // A panic may have left its buffers half-way.
            self.transformer = Transformer::new(self.image_size);
        }
        Ok((pixels?, tokens))
    }
}

/// A decoder that panics on some bytes does so every time: that sample is passed over, too.
fn guarded<T>(
    reason: SkipReason,
    decode: impl FnOnce() -> Result<T, image::PictureError>,
) -> Result<T, Unusable> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|error| (reason, error.to_string())),
        Err(_) => Err((reason, "its decoder panicked".to_owned())),
    }
}
