//! Trains the supervised classifier on what the CLIP model is trained on: the same pictures in the
//! same batches with the same crops, the same update, schedule and number of steps.

use super::{Accuracy, RobustnessError};
use crate::eval::{rank_of, read_share};
use crate::storage::OUTAGE;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use twinspan_data::holdout::Labels;
use twinspan_data::index::OnProgress;
use twinspan_data::{
    EvalSample, EvalSet, Loader, LoaderConfig, LoaderError, LocalBatch, Order, SampleKey, Share,
    Tokenizer,
};
use twinspan_model::classifier::{
    Classifier, ClassifierGradient, ClassifierState, Grouping, Labelled,
};
use twinspan_model::config::ModelConfig;
use twinspan_model::optim::{AdamW, learning_rate};
use twinspan_model::towers::PatchDraws;
use twinspan_types::{Cursor, Index, LaneId, RunConfig, Step};

/// Longest wait for pictures before a look whether to stop.
const LISTEN_EVERY: Duration = Duration::from_millis(100);

/// What the classifier is trained on, and how.
#[derive(Debug, Clone, Copy)]
pub struct Supervised<'a> {
    /// The CLIP model's run.
    pub config: &'a RunConfig,
    /// Its model.
    pub model: &'a ModelConfig,
    /// Its shards.
    pub index: &'a Arc<Index>,
    /// The pictures' classes.
    pub labels: &'a Labels,
    /// How many classes there are.
    pub classes: usize,
    /// Threads to compute with; each has whole groups of lanes.
    pub threads: usize,
}

/// A classifier that has learnt.
#[derive(Debug)]
pub struct TrainedClassifier {
    classifier: Classifier,
    state: ClassifierState,
    /// The loss of its last step.
    pub loss: f64,
}

impl Supervised<'_> {
    /// Trains to the run's last step; `stop` ends it after the step in flight. `on_step` hears of
    /// steps.
    ///
    /// # Errors
    /// It was stopped, pictures cannot be read or have no class, or the numbers are not finite.
    pub fn train(
        &self,
        stop: &AtomicBool,
        on_step: OnProgress<'_>,
    ) -> Result<TrainedClassifier, RobustnessError> {
        let classifier = Classifier::new(self.model, self.classes);
        let mut state = classifier.initial(self.config.seed);
        let steps = self.config.train.steps;
        let mut loader = Loader::start(self.loading(classifier.image_size())?)?;
        let crew = Crew::new(self.threads)?;
        let mut loss = f64::NAN;
        let mut done = Step(0);
        while done < steps {
            let batch = next_batch(&mut loader, done, stop)?;
            let labels = self.labels_of(&batch)?;
            let draws: Vec<u64> = batch.keys.iter().map(SampleKey::hash).collect();
            let pictures = Labelled {
                pixels: &batch.pixels,
                labels: &labels,
                draws: PatchDraws {
                    seed: self.config.seed,
                    pictures: &draws,
                },
            };
            let group = self.config.samples_per_group() as usize;
            let gradient = crew.gradient(&classifier, &state, pictures, group);
            let optimizer = &self.config.optimizer;
            let adamw = AdamW::new(optimizer, done, learning_rate(optimizer, done, steps));
            done = done.next();
            loss = gradient.loss;
            if !classifier.update(&mut state, &gradient, &adamw, optimizer.grad_clip_norm) {
                return Err(RobustnessError::NotFinite { step: done });
            }
            on_step(done.0, steps.0);
        }
        Ok(TrainedClassifier {
            classifier,
            state,
            loss,
        })
    }

    /// All lanes from their beginnings, as the ranks of the run read them.
    fn loading(&self, image_size: u32) -> Result<LoaderConfig, RobustnessError> {
        let Self { config, index, .. } = self;
        let text = &self.model.text;
        let tokenizer = Tokenizer::new(text.context_length, text.vocab_size)?;
        Ok(LoaderConfig {
            index: Arc::clone(index),
            order: Order {
                seed: config.seed,
                lanes: config.data.lanes,
                shuffle_window: config.data.shuffle_window,
            },
            lanes: (0..config.data.lanes).map(LaneId).collect(),
            lane_group: config.data.lane_group,
            cursors: vec![Cursor::default(); config.streams() as usize],
            quarantines: Vec::new(),
            samples_per_lane: config.samples_per_lane(),
            start: Step(0),
            image_size,
            crop_scale_min: config.data.crop_scale_min,
            augmentation: config.data.augmentation,
            tokenizer: Arc::new(tokenizer),
            decode_threads: self.threads,
            prefetch_bytes: config.data.prefetch_bytes,
            cache: None,
            decode_delay: Duration::ZERO,
            lease: watch::channel(config.train.steps).1,
        })
    }

    fn labels_of(&self, batch: &LocalBatch) -> Result<Vec<usize>, RobustnessError> {
        let labels = batch.keys.iter().map(|sample| {
            let key = &sample.key;
            let label = self.labels.of(key);
            label.ok_or_else(|| RobustnessError::NoLabel { key: key.clone() })
        });
        labels.collect()
    }
}

fn next_batch(
    loader: &mut Loader,
    done: Step,
    stop: &AtomicBool,
) -> Result<LocalBatch, RobustnessError> {
    let begun = Instant::now();
    loop {
        if stop.load(Ordering::Relaxed) {
            return Err(RobustnessError::Stopped { step: done });
        }
        match loader.next_batch(LISTEN_EVERY) {
            Err(LoaderError::TimedOut { step, .. }) => {
                let waited = begun.elapsed();
                if waited > OUTAGE {
                    return Err(RobustnessError::NoPictures { step, waited });
                }
            }
            batch => return Ok(batch?),
        }
    }
}

/// Threads that share a batch as ranks do: each computes alone, on whole groups.
struct Crew(Vec<ThreadPool>);

impl Crew {
    fn new(threads: usize) -> Result<Self, RobustnessError> {
        // A pool of one thread, so that what runs in it stays on it: kernels that share out their
        // rows over two threads are slower than two threads with a kernel each.
        let pool = || ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..threads.max(1)).map(|_| pool());
        Ok(Self(pools.collect::<Result<_, _>>()?))
    }

    /// The gradient of a whole batch in groups of so many pictures; parts are summed in their order.
    fn gradient(
        &self,
        classifier: &Classifier,
        state: &ClassifierState,
        pictures: Labelled<'_>,
        group: usize,
    ) -> ClassifierGradient {
        let batch = pictures.labels.len();
        let grouping = Grouping { group, batch };
        let groups = batch.div_ceil(group).max(1);
        let parts = pictures.chunks(groups.div_ceil(self.0.len()) * group);
        let gradients = std::thread::scope(|scope| {
            let work = self.0.iter().zip(parts).map(|(pool, part)| {
                let compute = move || classifier.gradient(state, part, grouping);
                scope.spawn(move || pool.install(compute))
            });
            let threads: Vec<_> = work.collect();
            let gradients = threads.into_iter().map(|thread| match thread.join() {
                Ok(gradient) => gradient,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            gradients.collect::<Vec<_>>()
        });
        let sum = gradients.into_iter().reduce(|mut sum, part| {
            sum.add(&part);
            sum
        });
        sum.unwrap_or_else(|| classifier.gradient(state, pictures, grouping))
    }
}

impl TrainedClassifier {
    /// How often it finds the class of a set's pictures.
    ///
    /// # Errors
    /// When the set cannot be read.
    pub async fn accuracy(&self, set: &EvalSet) -> Result<Accuracy, RobustnessError> {
        let (mut correct, mut pictures) = (0, 0);
        let each = |samples: &[EvalSample], pixels: &[u8]| {
            pictures += samples.len();
            correct += self.hits(pixels, samples);
        };
        let image_size = self.classifier.image_size();
        // The CLIP model is measured on the same set, and says what was passed over.
        read_share(set, image_size, Share::WHOLE, &|_, _| {}, each).await?;
        Ok(Accuracy::new(correct, pictures))
    }

    fn hits(&self, pixels: &[u8], samples: &[EvalSample]) -> usize {
        let scores = self.classifier.scores(&self.state, pixels);
        let labels = samples.iter().map(|sample| sample.label);
        let rows = scores.chunks(self.classifier.classes()).zip(labels);
        let hits = rows.filter(|(row, label)| label.is_some_and(|label| rank_of(row, label) == 0));
        hits.count()
    }
}
