//! The robustness experiment of the CLIP paper (Radford et al. 2021, section 3.3) in small: how much
//! of its accuracy a zero-shot CLIP model keeps in a style that it has never seen, beside a
//! supervised classifier that was trained on the same pictures.

mod accuracy;
mod error;
mod meaning;
mod report;
mod supervised;

pub use accuracy::Accuracy;
pub use error::RobustnessError;
pub use report::{Held, ModelAccuracy, RobustnessReport, Seconds};
pub use supervised::{Supervised, TrainedClassifier};
