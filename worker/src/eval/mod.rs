//! What a trained model is worth, and what it is used for: zero-shot classification, retrieval and
//! linear probe; labels of pictures, vectors, search.
//!
//! A set's samples may be shared out: the counts of zero-shot classification add up, and retrieval's
//! queries are ranked wherever all embeddings are. A set's samples are embedded in batches of one
//! size, so that their embeddings do not depend on who else is in the batch, and the sums are those of
//! one reader to the last bit.

mod classify;
mod embed;
mod hits;
mod model;
mod probe;
mod prompts;
mod ranks;
mod retrieval;
mod search;
mod share;
#[cfg(test)]
mod tests;
mod zero_shot;

pub use classify::{ClassifiedImage, ClassifyReport, LabelProbability, classify};
pub use embed::{EmbedError, WrittenPictures, write_pictures, write_texts};
pub use hits::ClassHits;
pub(crate) use hits::rank_of;
pub use model::EvalModel;
pub use probe::{
    LabelledFeatures, LinearProbeReport, ProbeError, ProbeSettings, labelled_features, linear_probe,
};
pub use ranks::{RankCounts, Recall};
pub use retrieval::{
    RetrievalCounts, RetrievalPart, RetrievalReport, retrieval, retrieval_counts, retrieval_part,
};
pub use search::{Neighbor, SearchReport, search};
pub(crate) use share::read_share;
pub use zero_shot::{ZeroShotCounts, ZeroShotReport, zero_shot, zero_shot_counts};

use twinspan_data::{EvalError, EvalSet, PassedOver};

/// The error of a set of which not one sample was counted.
fn nothing_to_use(set: &EvalSet, passed_over: &[PassedOver]) -> EvalError {
    EvalError::Empty {
        url: set.url.clone(),
        passed_over: passed_over.len(),
        first: passed_over.first().cloned(),
    }
}
