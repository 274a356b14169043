//! An evaluation outlives its generation: its weights are kept, and the next generation begins it
//! anew, with another world's shares.

use crate::eval::EvalModel;
use crate::exchange::broadcast_numbers;
use crate::train::Run;
use crate::{TrainState, WorkerError};
use std::fmt;
use std::sync::Arc;
use twinspan_collective::Collective;
use twinspan_types::{Rank, Step};

/// An evaluation that is not finished: the step, and a model of its weights.
#[derive(Clone)]
pub struct Unfinished {
    /// The step whose weights are measured.
    pub step: Step,
    /// Those weights.
    pub model: Arc<EvalModel>,
}

impl PartialEq for Unfinished {
    /// In one lineage a step has one set of weights.
    fn eq(&self, other: &Self) -> bool {
        self.step == other.step
    }
}

impl fmt::Debug for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Unfinished");
        shown.field("step", &self.step).finish_non_exhaustive()
    }
}

impl Unfinished {
    /// The evaluation of a state's weights, which it copies.
    pub fn of(run: &Run, state: &TrainState) -> Self {
        let numbers = (state.params.to_host().into_owned(), state.buffers.clone());
        Self::new(run, state.step, numbers)
    }

    fn new(run: &Run, step: Step, numbers: (Vec<f32>, Vec<f32>)) -> Self {
        let (clip, tokenizer) = (run.clip.clone(), Arc::clone(&run.tokenizer));
        let name = format!("{} step {step}", run.config.url());
        let device = run.compute.device.clone();
        let model = EvalModel::of_weights(clip, numbers, tokenizer, name, device);
        Self {
            step,
            model: Arc::new(model),
        }
    }
}

/// Leaves all ranks of a new generation with the same evaluation to go on with: that of the rank
/// `source`, of which they have the state.
///
/// # Errors
/// When the data plane breaks.
pub fn agree(
    ring: &mut dyn Collective,
    source: Option<Rank>,
    run: &Run,
    state: &mut TrainState,
) -> Result<(), WorkerError> {
    let Some(source) = source else {
        // They all have it from a checkpoint.
        return Ok(());
    };
    let Step(own) = state
        .unfinished
        .as_ref()
        .map(|own| own.step)
        .unwrap_or_default();
    let all = ring.all_gather_bytes(&own.to_le_bytes())?;
    let theirs = &all[source.index()];
    let is_source = ring.rank() == source;
    let step = match theirs.as_chunks::<8>().0 {
        [bytes] => Step(u64::from_le_bytes(*bytes)),
        _ => Step(0),
    };
    if step == Step(0) {
        state.unfinished = None;
        return Ok(());
    }
    if all.iter().all(|one| one == theirs) {
        return Ok(());
    }
    let own = state.unfinished.take().filter(|_| is_source);
    let mut numbers = |length, own| broadcast_numbers(ring, source, length, own);
    let model = own.as_ref().map(|own| own.model.numbers());
    let params = numbers(run.clip.params.total(), model.map(|(params, _)| params))?;
    let buffers = numbers(run.clip.buffers.total(), model.map(|(_, buffers)| buffers))?;
    let copied = || Unfinished::new(run, step, (params, buffers));
    state.unfinished = Some(own.unwrap_or_else(copied));
    Ok(())
}
