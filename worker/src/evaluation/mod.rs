//! Evaluation while the run goes on: each rank measures its share of every set on a thread of its own,
//! with the weights of one step, and says what it has with the votes of later steps. The training
//! only looks whether the thread is done.
//!
//! An evaluation has two rounds. In the first, a rank classifies its share of the sets for zero-shot
//! classification and embeds its share of those for retrieval. Once all ranks have done so, the
//! embeddings are gathered, and in the second round each rank ranks its own queries. All ranks hear
//! the same votes, so that they all know at the same boundary when a round is over.

mod boundary;
mod carry;
mod figures;
mod share;

use crate::eval::{EvalModel, RetrievalPart};
use crate::train::Run;
use crate::{Exchange, WorkerError};
pub use carry::{Unfinished, agree};
use figures::{FirstRound, figures};
use share::{Measured, Word, decode, encode, measure, rank_queries};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use twinspan_data::Share;
use twinspan_session::Parts;
use twinspan_types::config::EvalConfig;
use twinspan_types::{Evaluation, Rank, Step, WorldSize};

/// The evaluations of a generation on one rank, one at a time.
pub struct Evaluations {
    config: EvalConfig,
    last: Step,
    rank: Rank,
    world: WorldSize,
    under_way: Option<UnderWay>,
    /// The last step whose evaluation was begun.
    begun: Option<Step>,
}

/// An evaluation that is under way; dropped, its thread ends soon.
struct UnderWay {
    step: Step,
    model: Arc<EvalModel>,
    parts: Parts,
    round: Round,
}

/// How far a rank is.
enum Round {
    /// The thread measures its share.
    Measuring {
        thread: JoinHandle<Vec<Measured>>,
        /// Dropped, it ends the thread.
        _wanted: oneshot::Sender<()>,
    },
    /// It has said what it measured, and waits for the others.
    Measured(Vec<Measured>),
    /// The thread ranks its queries.
    Ranking {
        thread: JoinHandle<Vec<Word>>,
        first: FirstRound,
    },
    /// It has said how they are ranked, and waits for the others.
    Ranked(FirstRound),
}

impl Evaluations {
    /// Those of a rank in a world.
    pub fn new(run: &Run, rank: Rank, world: WorldSize) -> Self {
        Self {
            config: run.config.eval.clone(),
            last: run.config.train.steps,
            rank,
            world,
            under_way: None,
            begun: None,
        }
    }

    /// Whether the run has sets to measure on.
    pub fn are_wanted(&self) -> bool {
        !self.config.sets.is_empty()
    }

    /// The step whose evaluation is under way.
    pub fn under_way(&self) -> Option<Step> {
        self.under_way.as_ref().map(|under_way| under_way.step)
    }

    /// Whether an evaluation of this step's weights is due and was not begun.
    pub fn is_due(&self, step: Step) -> bool {
        self.config.is_due(step, self.last) && self.begun != Some(step)
    }

    /// Begins an evaluation on all ranks alike. One that is under way is dropped.
    pub fn begin(&mut self, Unfinished { step, model }: Unfinished) {
        let share = Share {
            rank: self.rank.0,
            of: self.world.0,
        };
        let (wanted, unwanted) = oneshot::channel();
        let (sets, theirs) = (self.config.sets.clone(), Arc::clone(&model));
        let thread = std::thread::spawn(move || measure(&theirs, &sets, share, step, unwanted));
        self.begun = Some(step);
        self.under_way = Some(UnderWay {
            step,
            model,
            parts: Parts::of(self.world),
            round: Round::Measuring {
                thread,
                _wanted: wanted,
            },
        });
    }

    /// What this rank has to say since it was last asked; empty for nothing.
    pub fn say(&mut self) -> Vec<u8> {
        let Some(under_way) = self.under_way.take_if(|under_way| under_way.is_done()) else {
            return Vec::new();
        };
        let (round, said) = under_way.round.said(self.config.sets.len());
        self.under_way = Some(UnderWay { round, ..under_way });
        said
    }

    /// Whether this rank has something to say.
    pub fn has_to_say(&self) -> bool {
        self.under_way.as_ref().is_some_and(UnderWay::is_done)
    }

    /// Takes what all ranks said, by rank, and gives the evaluation once it is finished. Every rank
    /// calls it at the same boundary.
    ///
    /// # Errors
    /// When the collective fails, or a rank's words cannot be read.
    pub fn hear(
        &mut self,
        said: Vec<Vec<u8>>,
        exchange: &mut Exchange,
    ) -> Result<Option<Evaluation>, WorkerError> {
        let Some(under_way) = &mut self.under_way else {
            return Ok(None);
        };
        let Some(parts) = under_way.parts.take(said) else {
            return Ok(None);
        };
        let words = decode(&parts)?;
        let Some(UnderWay {
            step,
            model,
            parts,
            round,
        }) = self.under_way.take()
        else {
            return Ok(None);
        };
        match round {
            Round::Measured(own) => {
                let mut first = FirstRound::new(own, words);
                let own = first.take_embeddings();
                if own.is_empty() {
                    return Ok(Some(self.finish(step, first, Vec::new())));
                }
                let (e, sets) = (model.embed_dim(), self.config.sets.len());
                let all = gather(&own, e, exchange)?;
                let thread = std::thread::spawn(move || rank_queries(&own, &all, e, sets));
                self.under_way = Some(UnderWay {
                    step,
                    model,
                    parts,
                    round: Round::Ranking { thread, first },
                });
                Ok(None)
            }
            Round::Ranked(first) => Ok(Some(self.finish(step, first, words))),
            // Not all ranks can have said something where this one has not.
            Round::Measuring { .. } | Round::Ranking { .. } => Ok(None),
        }
    }

    /// All ranks come to the same figures; one of them says what is missing.
    fn finish(&self, step: Step, first: FirstRound, second: Vec<Vec<Word>>) -> Evaluation {
        let (metrics, faults) = figures(&self.config, first, second);
        for (set, fault) in faults.into_iter().filter(|_| self.rank == Rank(0)) {
            tracing::warn!(
                "the evaluation of step {step} is without set {set}: {fault}; the run goes on"
            );
        }
        Evaluation { step, metrics }
    }

    /// Waits no longer for this rank's thread: it says that it could not measure.
    pub fn give_up(&mut self, why: &str) {
        let sets = self.config.sets.len();
        if let Some(under_way) = &mut self.under_way
            && let Round::Measuring { thread, .. } = &mut under_way.round
        {
            let failed = vec![Measured::failed(why.to_owned()); sets];
            *thread = std::thread::spawn(move || failed);
        }
    }
}

/// All ranks' embeddings of each set, of which `own` are this rank's.
fn gather(
    own: &[(usize, RetrievalPart)],
    e: usize,
    exchange: &mut Exchange,
) -> Result<Vec<RetrievalPart>, WorkerError> {
    let gathered = own.iter().map(|(_, own)| {
        let images = exchange.gather_numbered(&own.image_numbers, &own.images_ne, e)?;
        let texts = exchange.gather_numbered(&own.text_numbers, &own.texts_me, e)?;
        let parts = images.into_iter().zip(texts);
        let parts =
            parts.map(
                |((image_numbers, images_ne), (text_numbers, texts_me))| RetrievalPart {
                    images_ne,
                    image_numbers,
                    texts_me,
                    text_numbers,
                    passed_over: Vec::new(),
                },
            );
        Ok(RetrievalPart::merged(parts.collect(), e))
    });
    gathered.collect()
}

impl UnderWay {
    fn is_done(&self) -> bool {
        match &self.round {
            Round::Measuring { thread, .. } => thread.is_finished(),
            Round::Ranking { thread, .. } => thread.is_finished(),
            Round::Measured(_) | Round::Ranked(_) => false,
        }
    }
}

impl Round {
    /// What is to be said of a thread that is done, and what is kept.
    fn said(self, sets: usize) -> (Self, Vec<u8>) {
        const PANICKED: &str = "its thread panicked";
        match self {
            Self::Measuring { thread, .. } => {
                let measured = thread.join();
                let failed = |_| vec![Measured::failed(PANICKED.to_owned()); sets];
                let mut measured = measured.unwrap_or_else(failed);
                let words = measured.iter_mut().map(Measured::take_word);
                let said = encode(&words.collect::<Vec<_>>());
                (Self::Measured(measured), said)
            }
            Self::Ranking { thread, first } => {
                let failed = |_| vec![Word::Failed(PANICKED.to_owned()); sets];
                let said = encode(&thread.join().unwrap_or_else(failed));
                (Self::Ranked(first), said)
            }
            waiting => (waiting, Vec::new()),
        }
    }
}
