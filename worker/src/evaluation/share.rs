//! What a rank measures of its share, on a thread of its own, and how it says so.

use crate::eval::{
    EvalModel, RetrievalCounts, RetrievalPart, ZeroShotCounts, retrieval_counts, retrieval_part,
    zero_shot_counts,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use twinspan_data::{EvalError, EvalSet, PassedOver, Share, dataset};
use twinspan_session::VoteError;
use twinspan_types::Step;
use twinspan_types::config::{EvalSource, EvalTask};

/// The most that a rank says of all sets at once, in bytes: it goes with a step's vote.
const MOST_BYTES: usize = 4 << 20;
/// Pictures or captions of a rank's share of one set at most: their numbers go in one message.
const MOST_ROWS: usize = twinspan_collective::MAX_MESSAGE / size_of::<u64>();

/// A rank's word on one set, as the others hear it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// Its share is classified.
    Counted(ZeroShotCounts),
    /// Its share is embedded.
    Embedded,
    /// Its queries are ranked.
    Ranked(RetrievalCounts),
    /// It could not measure its share, and why.
    Failed(String),
}

/// What a rank has of one set.
#[derive(Debug, Clone)]
pub struct Measured {
    word: Word,
    /// The set, where it was found.
    pub set: Option<EvalSet>,
    /// The share's embeddings, where it is for retrieval.
    pub part: Option<RetrievalPart>,
}

impl Measured {
    /// Nothing, and why.
    pub fn failed(why: String) -> Self {
        Self {
            word: Word::Failed(why),
            set: None,
            part: None,
        }
    }

    /// The word, which is said once.
    pub fn take_word(&mut self) -> Word {
        std::mem::replace(&mut self.word, Word::Embedded)
    }
}

/// Words as bytes for the data plane. What is too long for it is said to have failed.
pub fn encode(words: &[Word]) -> Vec<u8> {
    let bytes = serde_json::json!(words).to_string().into_bytes();
    if bytes.len() <= MOST_BYTES {
        return bytes;
    }
    let why = format!(
        "its counts are {} bytes, more than {MOST_BYTES}",
        bytes.len()
    );
    let failed = vec![Word::Failed(why); words.len()];
    serde_json::json!(failed).to_string().into_bytes()
}

/// The words of all ranks, by rank.
///
/// # Errors
/// When a rank's bytes are none.
pub fn decode(parts: &[Vec<u8>]) -> Result<Vec<Vec<Word>>, VoteError> {
    let words = parts.iter().map(|part| serde_json::from_slice(part));
    let words = words.collect::<Result<_, _>>();
    words.map_err(|error| VoteError::Unreadable(error.to_string()))
}

/// Measures a share of every set, in their order; ends early, with nothing, once `unwanted`.
pub fn measure(
    model: &EvalModel,
    sets: &[EvalSource],
    share: Share,
    step: Step,
    unwanted: oneshot::Receiver<()>,
) -> Vec<Measured> {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let why = format!("no asynchronous runtime can be started: {error}");
            return vec![Measured::failed(why); sets.len()];
        }
    };
    let all = async {
        let mut measured = Vec::with_capacity(sets.len());
        for source in sets {
            let one = one(model, source, share, step).await;
            measured.push(one.unwrap_or_else(|error| Measured::failed(error.to_string())));
        }
        measured
    };
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = unwanted => Vec::new(),
            measured = all => measured,
        }
    })
}

async fn one(
    model: &EvalModel,
    source: &EvalSource,
    share: Share,
    step: Step,
) -> Result<Measured, EvalError> {
    let on_progress = |_, _| {};
    let tell = |passed_over: &[PassedOver]| {
        if let Some(PassedOver { key, reason }) = passed_over.first() {
            tracing::warn!(
                "evaluation of step {step}, set {}: {} pictures cannot be used, the first {key}: \
                 {reason}",
                source.name,
                passed_over.len()
            );
        }
    };
    match &source.task {
        EvalTask::ZeroShot(url) => {
            let set = dataset::read_classification(url).await?;
            let counts = zero_shot_counts(model, &set, share, &on_progress).await?;
            tell(&counts.passed_over);
            Ok(Measured {
                word: Word::Counted(counts),
                set: Some(set),
                part: None,
            })
        }
        EvalTask::Retrieval(url) => {
            let set = dataset::read_captioned(url).await?;
            let part = retrieval_part(model, &set, share, &on_progress).await?;
            tell(&part.passed_over);
            let rows = part.image_numbers.len().max(part.text_numbers.len());
            if rows > MOST_ROWS {
                let why = format!("its share is {rows} rows, more than {MOST_ROWS}");
                return Ok(Measured::failed(why));
            }
            Ok(Measured {
                word: Word::Embedded,
                set: Some(set),
                part: Some(part),
            })
        }
    }
}

/// Ranks the queries of this rank's part of some sets, given with their places, each among all of
/// its set; what is said of the other sets tells nothing.
pub fn rank_queries(
    own: &[(usize, RetrievalPart)],
    all: &[RetrievalPart],
    e: usize,
    sets: usize,
) -> Vec<Word> {
    let mut words = vec![Word::Embedded; sets];
    for ((place, own), all) in own.iter().zip(all) {
        words[*place] = Word::Ranked(retrieval_counts(own, all, e));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_for_a_vote_is_said_to_have_failed() {
        let short = [Word::Embedded, Word::Failed("why".to_owned())];
        assert_eq!(decode(&[encode(&short)]), Ok(vec![short.to_vec()]));
        let long = [Word::Embedded, Word::Failed("w".repeat(MOST_BYTES))];
        let said = decode(&[encode(&long)]).expect("words").remove(0);
        assert!(said.len() == 2 && said.iter().all(|word| matches!(word, Word::Failed(_))));
    }
}
