//! What the fake engine computes: a number that depends on every sample of every step.

use serde::{Deserialize, Serialize};
use twinspan_types::{Cursor, Generation, LaneId, Stamp, Step, StepReport};

/// A rank's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The last committed step.
    pub step: Step,
    /// The generation that committed it.
    pub generation: Generation,
    /// Every lane's position.
    pub cursors: Vec<Cursor>,
    /// In the place of weights.
    pub value: u64,
}

/// A state on its way to another rank.
#[derive(Serialize, Deserialize)]
pub struct Parcel {
    /// The state.
    pub state: State,
    /// Steps that the coordinator has not acknowledged.
    pub reports: Vec<StepReport>,
}

impl State {
    /// Before the first step.
    #[must_use]
    pub fn initial(lanes: u32) -> Self {
        Self {
            step: Step(0),
            generation: Generation(0),
            cursors: vec![Cursor::default(); lanes as usize],
            value: 1,
        }
    }

    /// What this is the state of.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp {
            generation: self.generation,
            step: self.step,
        }
    }

    /// The update that a step's samples lead to.
    #[must_use]
    pub fn updated(&self, sample_hash: u64) -> u64 {
        mix(self.value ^ sample_hash)
    }
}

/// The hash of what a lane gives at a position.
#[must_use]
pub fn sample_hash(lane: LaneId, position: u64) -> u64 {
    mix(u64::from(lane.0) << 32 | position)
}

/// The hash of all samples of a step, and the state's number after it, for each step of a run that
/// nothing has disturbed.
pub fn undisturbed(lanes: u32) -> impl Iterator<Item = (u64, u64)> {
    let mut state = State::initial(lanes);
    (0..).map(move |position| {
        let hashes = (0..lanes).map(|lane| sample_hash(LaneId(lane), position));
        let hash = hashes.fold(0, u64::wrapping_add);
        state.value = state.updated(hash);
        (hash, state.value)
    })
}

/// Stirs a number (the finaliser of MurmurHash3).
#[must_use]
pub fn mix(mut number: u64) -> u64 {
    number ^= number >> 33;
    number = number.wrapping_mul(0xff51_afd7_ed55_8ccd);
    number ^= number >> 33;
    number = number.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ number >> 33
}
