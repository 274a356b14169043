//! Looking at shards before they are trained on: what their pictures and captions are like, and
//! which samples training would pass over.

mod look;
mod report;

pub use report::{Inspection, Shown, Spread, Unusable};

use crate::index::{Counting, IndexBuildError, OnProgress, survey};
use crate::store::{StoreError, Stores};
use crate::text::{TextError, Tokenizer};
use futures::{StreamExt, TryStreamExt};
use look::{Looker, Part};
use report::Report;
use std::sync::atomic::AtomicU64;
use twinspan_types::Index;

/// Shards that are read at once.
const AT_ONCE: usize = 4;
/// Beyond the tokens of any caption, so that none is cut before its length is known.
const CONTEXT: usize = 1 << 20;

/// How closely shards are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Closeness {
    /// Samples that are looked at, at most: each shard's first ones, by its share of all.
    pub limit: u64,
    /// Samples that are shown, evenly spread over those looked at.
    pub shown: u64,
}

/// Why shards cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// They cannot be found or counted.
    #[error(transparent)]
    Shards(#[from] IndexBuildError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// CLIP's tokeniser is refused.
    #[error(transparent)]
    Text(#[from] TextError),
}

impl InspectError {
    /// Whether what was given is at fault, so that trying again is of no use.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Shards(error) => error.is_bad_input(),
            Self::Store(error) => error.is_bad_input(),
            Self::Text(_) => true,
        }
    }
}

/// Reads samples of shards, by URLs and prefixes as [`survey`] takes them. `on_progress` hears of
/// samples.
///
/// # Errors
/// When shards cannot be found or counted, or the store fails. A shard that is damaged or holds
/// another number of samples than is written is part of what is reported.
pub async fn inspect(
    urls: &[String],
    closeness: Closeness,
    on_progress: OnProgress<'_>,
) -> Result<Inspection, InspectError> {
    let index = survey(urls, Counting::Written, &[], &|_, _| {})
        .await?
        .index;
    let parts = parts(&index, closeness);
    let total: u64 = parts.iter().map(|part| part.samples).sum();
    let looker = &Looker {
        stores: Stores::default(),
        tokenizer: Tokenizer::new(CONTEXT, Tokenizer::VOCABULARY)?,
        done: AtomicU64::new(0),
        total,
        on_progress,
    };
    let looks = parts.iter().map(|part| looker.part(part));
    let mut report = Report::default();
    let mut looks = futures::stream::iter(looks).buffered(AT_ONCE);
    while let Some(look) = looks.try_next().await? {
        report.add(look);
    }
    Ok(report.finish(&index))
}

/// Which samples of which shards are looked at, and which of those are shown.
fn parts(index: &Index, closeness: Closeness) -> Vec<Part<'_>> {
    let all = index.samples();
    let limit = closeness.limit.min(all);
    let scaled = |of: u64, parts: u64, whole: u64| {
        (u128::from(of) * u128::from(parts) / u128::from(whole.max(1))) as u64
    };
    let shown = closeness.shown.min(limit);
    let mut shown = (0..shown)
        .map(|number| scaled(limit, number, shown))
        .peekable();
    let (mut before, mut planned) = (0, 0);
    let mut parts = Vec::new();
    for shard in &index.shards {
        before += shard.samples;
        let end = scaled(limit, before, all);
        let mut part = Part {
            shard,
            samples: end - planned,
            shown: Vec::new(),
        };
        while let Some(place) = shown.next_if(|place| *place < end) {
            part.shown.push(place - planned);
        }
        planned = end;
        // A shard that nothing is expected of may hold something all the same.
        if part.samples > 0 || shard.samples == 0 {
            parts.push(part);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_types::ShardEntry;

    #[test]
    fn shards_are_looked_at_by_their_share_and_the_shown_are_spread() {
        let shard = |samples| ShardEntry {
            url: format!("{samples}.tar"),
            samples,
            bytes: 1,
            etag: None,
        };
        let index = Index::of_one_source(vec![shard(100), shard(0), shard(300), shard(1)]);
        let planned = |limit, shown| {
            let parts = parts(&index, Closeness { limit, shown });
            let plan = parts.into_iter().map(|part| (part.samples, part.shown));
            plan.collect::<Vec<_>>()
        };
        let all = [
            (100, vec![0]),
            (0, vec![]),
            (300, vec![33, 167]),
            (1, vec![]),
        ];
        assert_eq!(planned(10_000, 3), all);
        assert_eq!(
            planned(40, 2),
            [(9, vec![0]), (0, vec![]), (30, vec![11]), (1, vec![])]
        );
        assert_eq!(planned(0, 2), [(0, vec![])]);
    }
}
