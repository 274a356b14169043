//! What a trained model is worth, and what it is used for: zero-shot classification and retrieval,
//! labels of pictures, vectors, search.

mod classify;
mod embed;
mod model;
mod prompts;
mod retrieval;
mod search;
mod zero_shot;

pub use classify::{ClassifiedImage, ClassifyReport, LabelProbability, classify};
pub use embed::{EmbedError, WrittenPictures, write_pictures, write_texts};
pub use model::EvalModel;
pub use retrieval::{Recall, RetrievalReport, retrieval};
pub use search::{Neighbor, SearchReport, search};
pub use zero_shot::{ZeroShotReport, zero_shot};
