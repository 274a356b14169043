//! Everything that a committed step leaves behind.

use crate::evaluation::Unfinished;
use twinspan_model::optim::Moments;
use twinspan_model::towers::Clip;
use twinspan_model::{Compute, Flat};
use twinspan_types::{Cursor, Generation, Stamp, Step};

/// The state of one rank; equal on all ranks of a world.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainState {
    /// Parameters, in the table's flat layout.
    pub params: Flat,
    /// AdamW's moments, in the same layout.
    pub moments: Moments<Flat>,
    /// Batch-norm running statistics, in the buffer table's layout.
    pub buffers: Vec<f32>,
    /// The last committed step.
    pub step: Step,
    /// The generation that committed it.
    pub generation: Generation,
    /// Every stream's position after it, by stream.
    pub cursors: Vec<Cursor>,
    /// The evaluation that was begun with an earlier step's weights, or this one's, and is not
    /// finished.
    pub unfinished: Option<Unfinished>,
}

impl TrainState {
    /// What this is the state of.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            generation: self.generation,
            step: self.step,
        }
    }

    /// Brings its numbers to where `compute` works; nothing where they are there.
    pub fn place(&mut self, clip: &Clip, compute: &Compute) {
        let Moments {
            exp_avg,
            exp_avg_sq,
        } = &mut self.moments;
        for numbers in [&mut self.params, exp_avg, exp_avg_sq] {
            let taken = std::mem::replace(numbers, Flat::Host(Vec::new()));
            *numbers = taken.placed(&clip.params, compute);
        }
    }

    /// The state before the first step.
    #[must_use]
    pub fn initial(clip: &Clip, seed: u64, streams: u32) -> Self {
        let params = clip.params.init(seed);
        let zeros = || Flat::Host(vec![0.0; params.len()]);
        Self {
            moments: Moments {
                exp_avg: zeros(),
                exp_avg_sq: zeros(),
            },
            params: params.into(),
            buffers: clip.buffers.init(),
            step: Step(0),
            generation: Generation(0),
            cursors: vec![Cursor::default(); streams as usize],
            unfinished: None,
        }
    }
}
