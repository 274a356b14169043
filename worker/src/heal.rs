//! How the ranks of a new generation come to the same state: from the rank that is ahead, over the
//! data plane, or from a checkpoint.

use crate::checkpoint::{fingerprint, restore};
use crate::exchange::broadcast_numbers;
use crate::storage::Storage;
use crate::weights::import;
use crate::{TrainState, WorkerError};
use serde::{Deserialize, Serialize};
use twinspan_collective::Collective;
use twinspan_model::Flat;
use twinspan_model::optim::Moments;
use twinspan_model::towers::Clip;
use twinspan_session::{Session, Unacknowledged};
use twinspan_types::{
    Cursor, Evaluation, Generation, Rank, RunConfig, Stamp, Step, StepReport, World,
};

/// What the ranks compare: a state's stamp and the hash of its numbers; none without a state.
type Claim = Option<(Stamp, u64)>;

/// What comes with a state's numbers.
#[derive(Serialize, Deserialize)]
struct Header {
    step: Step,
    generation: Generation,
    cursors: Vec<Cursor>,
    /// Steps that the coordinator has not acknowledged.
    steps: Vec<StepReport>,
    /// Evaluations that it has not acknowledged.
    evaluations: Vec<Evaluation>,
}

/// Leaves `state` the same on all ranks.
///
/// # Errors
/// When the data plane breaks, a checkpoint cannot be read, or the states differ all the same.
pub fn heal(
    ring: &mut dyn Collective,
    session: &Session,
    world: &World,
    clip: &Clip,
    storage: &Storage,
    config: &RunConfig,
    state: &mut Option<TrainState>,
) -> Result<(), WorkerError> {
    if world.source.is_none() {
        *state = Some(match &world.restore {
            Some(directory) => restore(storage, directory, clip)?,
            None => first_state(clip, config)?,
        });
        session.adopt(Unacknowledged::default());
    }
    let claims = exchange_claims(ring, state.as_ref())?;
    let source = world.source.unwrap_or_default();
    let theirs = claims[source.index()];
    match claims.iter().position(|claim| *claim != theirs) {
        None => Ok(()),
        Some(rank) if world.source.is_none() => Err(WorkerError::DifferentWeights {
            rank: Rank(u32::try_from(rank).unwrap_or(u32::MAX)),
        }),
        Some(_) => {
            let mine = claims[ring.rank().index()];
            let received = copy(ring, session, source, clip, state)?;
            if mine == theirs {
                return Ok(());
            }
            let (received, untold) = received;
            if Some((received.stamp(), fingerprint(&received))) != theirs {
                return Err(WorkerError::DifferentWeights { rank: ring.rank() });
            }
            tracing::info!("healed from rank {source} at step {}", received.step);
            session.adopt(untold);
            *state = Some(received);
            Ok(())
        }
    }
}

/// The state before the first step: random weights, or imported ones.
fn first_state(clip: &Clip, config: &RunConfig) -> Result<TrainState, WorkerError> {
    let mut state = TrainState::initial(clip, config.seed, config.streams());
    if let Some(url) = &config.model.init_from {
        let imported = import(url, clip)?;
        state.params = imported.params.into();
        state.buffers = imported.buffers;
    }
    Ok(state)
}

fn exchange_claims(
    ring: &mut dyn Collective,
    state: Option<&TrainState>,
) -> Result<Vec<Claim>, WorkerError> {
    let mine: Claim = state.map(|state| (state.stamp(), fingerprint(state)));
    let all = ring.all_gather_bytes(mine.map(encode).unwrap_or_default().as_slice())?;
    Ok(all.iter().map(|bytes| decode(bytes)).collect())
}

/// Generation, step and hash, little-endian.
fn encode((stamp, hash): (Stamp, u64)) -> Vec<u8> {
    let words = [stamp.generation.0, stamp.step.0, hash];
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn decode(bytes: &[u8]) -> Claim {
    let ([generation, step, hash], []) = bytes.as_chunks::<8>().0.split_first_chunk::<3>()? else {
        return None;
    };
    let stamp = Stamp {
        generation: Generation(u64::from_le_bytes(*generation)),
        step: Step(u64::from_le_bytes(*step)),
    };
    Some((stamp, u64::from_le_bytes(*hash)))
}

/// Sends the source's state to all ranks; those that have it get a copy, too.
fn copy(
    ring: &mut dyn Collective,
    session: &Session,
    source: Rank,
    clip: &Clip,
    state: &Option<TrainState>,
) -> Result<(TrainState, Unacknowledged), WorkerError> {
    let own = state.as_ref().filter(|_| ring.rank() == source);
    let header = own.map(|state| {
        let Unacknowledged { steps, evaluations } = session.unacknowledged();
        Header {
            step: state.step,
            generation: state.generation,
            cursors: state.cursors.clone(),
            steps,
            evaluations,
        }
    });
    let header = header.map(|header| serde_json::json!(header).to_string());
    let headers = ring.all_gather_bytes(header.unwrap_or_default().as_bytes())?;
    let Header {
        step,
        generation,
        cursors,
        steps,
        evaluations,
    } = serde_json::from_slice(&headers[source.index()])
        .map_err(|error| WorkerError::UnreadableState(error.to_string()))?;
    let params = clip.params.total();
    let mut flat = |own: Option<&Flat>| {
        let own = own.map(Flat::to_host);
        broadcast_numbers(ring, source, params, own.as_deref()).map(Flat::Host)
    };
    let healed = TrainState {
        params: flat(own.map(|state| &state.params))?,
        moments: Moments {
            exp_avg: flat(own.map(|state| &state.moments.exp_avg))?,
            exp_avg_sq: flat(own.map(|state| &state.moments.exp_avg_sq))?,
        },
        buffers: {
            let own = own.map(|state| state.buffers.as_slice());
            broadcast_numbers(ring, source, clip.buffers.total(), own)?
        },
        step,
        generation,
        cursors,
        unfinished: None,
    };
    Ok((healed, Unacknowledged { steps, evaluations }))
}
