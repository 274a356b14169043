//! What was seen of all samples, in numbers.

use super::look::{Facts, Look};
use serde::Serialize;
use std::collections::BTreeMap;
use twinspan_types::{Index, SkipReason};

/// Keys of samples that are named for each reason.
const NAMED: usize = 20;
/// Tokens of a caption that CLIP's models see.
const CONTEXT_LENGTH: u64 = 77;
/// Characters of a caption that are shown.
const SHOWN_CHARACTERS: usize = 60;

/// What shards hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// Shards.
    pub shards: u64,
    /// Samples, as counted.
    pub samples: u64,
    /// Bytes of the shards.
    pub bytes: u64,
    /// Samples that all that follows is said of.
    pub looked_at: u64,
    /// Pictures by format.
    pub formats: BTreeMap<&'static str, u64>,
    /// Pixels in a row of the pictures that decode.
    pub width: Spread,
    /// Rows of the pictures that decode.
    pub height: Spread,
    /// Captions' lengths.
    pub caption_characters: Spread,
    /// Captions' lengths, start and end included.
    pub caption_tokens: Spread,
    /// Captions that a context of 77 tokens cuts.
    pub captions_cut: u64,
    /// Picture and caption together.
    pub sample_bytes: Spread,
    /// Samples that training would pass over, by reason.
    pub unusable: BTreeMap<String, Unusable>,
    /// Shards that are damaged or hold another number of samples than counted, and how.
    pub damaged: BTreeMap<String, String>,
    /// Some samples.
    pub shown: Vec<Shown>,
}

/// How numbers are spread; all zero where there are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: u64,
    /// Half are at most this.
    pub median: u64,
    /// 95 % are at most this.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

/// Samples that cannot be used for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Unusable {
    /// How many.
    pub count: u64,
    /// The first ones.
    pub keys: Vec<String>,
}

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its key.
    pub key: String,
    /// Width, height and format, where its picture decodes.
    pub picture: Option<(u32, u32, &'static str)>,
    /// Its caption's beginning, on one line.
    pub caption: Option<String>,
}

impl Spread {
    fn of(mut numbers: Vec<u64>) -> Self {
        numbers.sort_unstable();
        // The smallest of them that so many hundredths do not exceed.
        let at = |percent: usize| {
            let rank = (numbers.len() * percent).div_ceil(100).max(1);
            numbers.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            min: at(0),
            median: at(50),
            p95: at(95),
            max: at(100),
        }
    }
}

/// An inspection that grows by what is seen of one shard after another.
#[derive(Debug, Default)]
pub(super) struct Report {
    looked_at: u64,
    formats: BTreeMap<&'static str, u64>,
    widths: Vec<u64>,
    heights: Vec<u64>,
    characters: Vec<u64>,
    tokens: Vec<u64>,
    bytes: Vec<u64>,
    unusable: BTreeMap<String, Unusable>,
    damaged: BTreeMap<String, String>,
    shown: Vec<Shown>,
}

impl Report {
    pub(super) fn add(&mut self, look: Look<'_>) {
        let shown = look.part.shown.iter().filter_map(|place| {
            let place = usize::try_from(*place).ok()?;
            look.samples.get(place).map(shown)
        });
        self.shown.extend(shown);
        look.samples
            .into_iter()
            .for_each(|facts| self.sample(facts));
        if let Some(damage) = look.damage {
            self.damaged.insert(look.part.shard.url.clone(), damage);
        }
    }

    fn sample(&mut self, facts: Facts) {
        self.looked_at += 1;
        self.bytes.push(facts.bytes);
        if let Ok(picture) = &facts.picture {
            *self.formats.entry(picture.format).or_default() += 1;
            self.widths.push(u64::from(picture.width));
            self.heights.push(u64::from(picture.height));
        }
        if let Ok(caption) = &facts.caption {
            self.characters.push(caption.text.chars().count() as u64);
            self.tokens.push(caption.tokens);
        }
        // The reason that training would record: it looks for both members before it decodes.
        let missing = |reason: &SkipReason| {
            matches!(
                reason,
                SkipReason::MissingImage | SkipReason::MissingCaption
            )
        };
        let reasons = [facts.picture.err(), facts.caption.err()];
        let reasons = || reasons.into_iter().flatten();
        let text_first = || reasons().find(|reason| *reason == SkipReason::UndecodableText);
        let reason = reasons().find(missing).or_else(text_first);
        if let Some(reason) = reason.or_else(|| reasons().next()) {
            let unusable = self.unusable.entry(name(reason)).or_default();
            unusable.count += 1;
            if unusable.keys.len() < NAMED {
                unusable.keys.push(facts.key);
            }
        }
    }

    pub(super) fn finish(self, index: &Index) -> Inspection {
        let cut = |tokens: &&u64| **tokens > CONTEXT_LENGTH;
        Inspection {
            shards: index.shards.len() as u64,
            samples: index.samples(),
            bytes: index.shards.iter().map(|shard| shard.bytes).sum(),
            looked_at: self.looked_at,
            formats: self.formats,
            captions_cut: self.tokens.iter().filter(cut).count() as u64,
            width: Spread::of(self.widths),
            height: Spread::of(self.heights),
            caption_characters: Spread::of(self.characters),
            caption_tokens: Spread::of(self.tokens),
            sample_bytes: Spread::of(self.bytes),
            unusable: self.unusable,
            damaged: self.damaged,
            shown: self.shown,
        }
    }
}

/// The name that `skipped.jsonl` gives a reason.
fn name(reason: SkipReason) -> String {
    let name = serde_json::to_value(reason).ok();
    let name = name.as_ref().and_then(|name| name.as_str());
    name.unwrap_or_default().to_owned()
}

fn shown(facts: &Facts) -> Shown {
    let picture = facts.picture.as_ref().ok();
    let caption = facts.caption.as_ref().ok();
    Shown {
        key: facts.key.clone(),
        picture: picture.map(|picture| (picture.width, picture.height, picture.format)),
        caption: caption.map(|caption| shortened(&caption.text)),
    }
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_by_nearest_rank() {
        let spread = |numbers: Vec<u64>| {
            let spread = Spread::of(numbers);
            [spread.min, spread.median, spread.p95, spread.max]
        };
        assert_eq!(spread(vec![]), [0; 4]);
        assert_eq!(spread(vec![7]), [7; 4]);
        assert_eq!(spread((1..=100).rev().collect()), [1, 50, 95, 100]);
    }

    #[test]
    fn long_captions_are_shortened_between_characters() {
        assert_eq!(shortened(" a\n cat "), "a cat");
        let long = shortened(&"é".repeat(61));
        assert_eq!(long, format!("{}...", "é".repeat(60)));
    }
}
