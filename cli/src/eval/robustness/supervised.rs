//! The classifier's training, in this process.

use super::experiment::Experiment;
use super::stop::Stop;
use crate::counter::Counter;
use crate::exit::{Failure, failed};
use crate::runtime::block_on;
use std::sync::Arc;
use twinspan_data::index_sources;
use twinspan_worker::robustness::{Supervised, TrainedClassifier};

/// Trains the classifier; a signal ends it after the step in flight.
pub fn train(experiment: &Experiment, stop: &Stop) -> Result<TrainedClassifier, Failure> {
    let sources = &experiment.clip.data.sources;
    let index = block_on(index_sources(sources, &[], &|_, _| {}))?;
    let index = Arc::new(index.map_err(|(_, error)| failed(error))?);
    let supervised = Supervised {
        config: &experiment.clip,
        model: &experiment.model,
        index: &index,
        labels: &experiment.labels,
        classes: experiment.test.classes.len(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let counter = Counter::new("classifier steps");
    let trained = supervised.train(stop.asked(), &|done, total| counter.show(done, total));
    stop.check()?;
    trained.map_err(failed)
}
