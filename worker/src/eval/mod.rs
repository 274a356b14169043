//! What a trained model is worth: zero-shot classification and retrieval.

mod model;
mod retrieval;
mod zero_shot;

pub use model::EvalModel;
pub use retrieval::{Recall, RetrievalReport, retrieval};
pub use zero_shot::{ZeroShotReport, zero_shot};
