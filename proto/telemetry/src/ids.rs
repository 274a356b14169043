//! Ids of traces and spans that every process of a run derives by itself, so that all ranks and the
//! coordinator meet in one trace with nothing said on the data plane.

use sha2::{Digest, Sha256};
use std::fmt;
use twinspan_types::{Generation, Rank, Step};

/// A trace's id, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A span's id, never zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub [u8; 8]);

/// The first bytes of SHA-256 over what is named and numbered.
fn derived<const N: usize>(what: &str, run: &str, numbers: &[u64]) -> [u8; N] {
    let mut hash = Sha256::new();
    for text in [what, run] {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    numbers
        .iter()
        .for_each(|number| hash.update(number.to_le_bytes()));
    let digest = hash.finalize();
    let mut id = [0; N];
    id.copy_from_slice(&digest[..N]);
    // Zero stands for no id.
    id[0] |= u8::from(id == [0; N]);
    id
}

impl TraceId {
    /// The trace of a step. `run` is the run's URL.
    #[must_use]
    pub fn of_step(run: &str, step: Step) -> Self {
        Self(derived("step", run, &[step.0]))
    }

    /// A trace that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        let halves = [SpanId::random().0, SpanId::random().0];
        let mut id = [0; 16];
        id.copy_from_slice(halves.as_flattened());
        Self(id)
    }

    /// The trace of the way into a generation.
    #[must_use]
    pub fn of_generation(run: &str, generation: Generation) -> Self {
        Self(derived("generation", run, &[generation.0]))
    }
}

impl SpanId {
    /// The root of a step's trace; a step that is redone in another generation has another root.
    #[must_use]
    pub fn of_step(run: &str, generation: Generation, step: Step) -> Self {
        Self(derived("step root", run, &[generation.0, step.0]))
    }

    /// A rank's part of a step.
    #[must_use]
    pub fn of_rank(run: &str, generation: Generation, step: Step, rank: Rank) -> Self {
        let numbers = [generation.0, step.0, rank.0.into()];
        Self(derived("step rank", run, &numbers))
    }

    /// A rank's part of the checkpoint of a step.
    #[must_use]
    pub fn of_checkpoint(run: &str, generation: Generation, step: Step, rank: Rank) -> Self {
        let numbers = [generation.0, step.0, rank.0.into()];
        Self(derived("checkpoint rank", run, &numbers))
    }

    /// The root of a generation's trace.
    #[must_use]
    pub fn of_generation(run: &str, generation: Generation) -> Self {
        Self(derived("generation root", run, &[generation.0]))
    }

    /// A rank's way into a generation.
    #[must_use]
    pub fn of_entry(run: &str, generation: Generation, rank: Rank) -> Self {
        let numbers = [generation.0, rank.0.into()];
        Self(derived("generation rank", run, &numbers))
    }

    /// The n-th of the spans below another.
    #[must_use]
    pub fn child(self, number: usize) -> Self {
        let parent = u64::from_le_bytes(self.0);
        Self(derived("child", "", &[parent, number as u64]))
    }

    /// An id that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        use std::hash::{BuildHasher, Hasher, RandomState};
        let id = RandomState::new().build_hasher().finish();
        Self(id.max(1).to_le_bytes())
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_process_derives_the_same_id_and_another_for_anything_else() {
        let run = "file:///runs/a";
        assert_eq!(
            TraceId::of_step(run, Step(7)),
            TraceId::of_step(run, Step(7))
        );
        let traces = [
            TraceId::of_step(run, Step(7)),
            TraceId::of_step(run, Step(8)),
            TraceId::of_step("file:///runs/b", Step(7)),
            TraceId::of_generation(run, Generation(7)),
        ];
        let distinct: std::collections::BTreeSet<_> = traces.into_iter().collect();
        assert_eq!(distinct.len(), traces.len());
        let (one, two) = (Generation(1), Generation(2));
        let spans = [
            SpanId::of_step(run, one, Step(2)),
            SpanId::of_step(run, two, Step(1)),
            SpanId::of_rank(run, one, Step(2), Rank(0)),
            SpanId::of_rank(run, one, Step(2), Rank(1)),
            SpanId::of_rank(run, one, Step(2), Rank(1)).child(0),
            SpanId::of_rank(run, one, Step(2), Rank(1)).child(1),
            SpanId::of_checkpoint(run, one, Step(2), Rank(1)),
            SpanId::of_entry(run, two, Rank(1)),
            SpanId::of_generation(run, two),
            SpanId::random(),
        ];
        let distinct: std::collections::BTreeSet<_> = spans.into_iter().collect();
        assert_eq!(distinct.len(), spans.len());
    }

    #[test]
    fn an_id_is_written_in_lower_case_hexadecimal() {
        assert_eq!(
            SpanId([0, 1, 0xab, 3, 4, 5, 6, 0xff]).to_string(),
            "0001ab03040506ff"
        );
    }
}
