//! Checkpoints that were ordered and whose parts are not all stored yet.

use std::collections::BTreeMap;
use twinspan_types::{Cursor, Manifest, Nonce, Part, PartsStored, Rank, Step, World};

/// The attempts of a generation, by nonce. Whoever ordered one may be a coordinator of an earlier term:
/// it begins with the first rank's parts.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<Nonce, Attempt>);

#[derive(Debug)]
struct Attempt {
    stop: bool,
    step: Step,
    cursors: Vec<Cursor>,
    parts: BTreeMap<String, Part>,
}

/// An attempt with every part in the store.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) attempt: Nonce,
    /// Whether all ranks leave after it.
    pub(crate) stop: bool,
    pub(crate) step: Step,
    pub(crate) cursors: Vec<Cursor>,
    /// By name.
    pub(crate) parts: Vec<Part>,
}

impl Attempts {
    /// Notes the parts that a rank has stored. A message that does not fit changes nothing; the
    /// error says why it does not.
    pub(crate) fn store(
        &mut self,
        world: &World,
        rank: Rank,
        streams: u32,
        stored: PartsStored,
    ) -> Result<(), String> {
        let own = Manifest::files_of(rank, world.size());
        if let Some(part) = stored.parts.iter().find(|part| !own.contains(&part.name)) {
            return Err(format!(
                "{} is not a part that rank {rank} stores",
                part.name
            ));
        }
        if stored.cursors.len() != streams as usize {
            let got = stored.cursors.len();
            return Err(format!("{got} cursors for {streams} streams"));
        }
        if stored.step < world.start {
            return Err(format!(
                "step {} is before the generation's start",
                stored.step
            ));
        }
        if let Some(known) = self.0.get(&stored.attempt)
            && (known.step != stored.step || known.cursors != stored.cursors)
        {
            return Err(format!(
                "rank {rank} stored step {}, another rank step {} of the same checkpoint, or their \
                 cursors differ",
                stored.step, known.step
            ));
        }
        let attempt = self.0.entry(stored.attempt).or_insert_with(|| Attempt {
            stop: stored.stop,
            step: stored.step,
            cursors: stored.cursors,
            parts: BTreeMap::new(),
        });
        attempt.parts.extend(
            stored
                .parts
                .into_iter()
                .map(|part| (part.name.clone(), part)),
        );
        Ok(())
    }

    /// Takes out an attempt of which every rank has stored every part and whose steps are all
    /// reported, so that its metrics can be written before it exists.
    pub(crate) fn take_complete(&mut self, world: &World, reported: Step) -> Option<Complete> {
        let size = world.size();
        let is_complete = |attempt: &Attempt| {
            let mut files = size.ranks().flat_map(|rank| Manifest::files_of(rank, size));
            attempt.step <= reported && files.all(|file| attempt.parts.contains_key(&file))
        };
        let nonce = *self.0.iter().find(|(_, attempt)| is_complete(attempt))?.0;
        let Attempt {
            stop,
            step,
            cursors,
            parts,
        } = self.0.remove(&nonce)?;
        Some(Complete {
            attempt: nonce,
            stop,
            step,
            cursors,
            parts: parts.into_values().collect(),
        })
    }

    /// Files stored of the attempt that is furthest.
    pub(crate) fn stored_parts(&self) -> usize {
        let parts = self.0.values().map(|attempt| attempt.parts.len());
        parts.max().unwrap_or(0)
    }
}
