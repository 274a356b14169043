//! The ranks' parts of one evaluation, which come with the votes of different steps.

use twinspan_types::WorldSize;

/// What has come, by rank. All ranks hear the same votes, so that all know at the same boundary when
/// the last part has come.
#[derive(Debug)]
pub struct Parts(Vec<Option<Vec<u8>>>);

impl Parts {
    /// None of a world of this size.
    #[must_use]
    pub fn of(world: WorldSize) -> Self {
        Self(vec![None; world.index()])
    }

    /// Takes what the ranks said at one boundary, by rank, empty for nothing. Gives all parts by
    /// rank once every rank has said one, and is then as before the first.
    pub fn take(&mut self, said: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
        for (part, said) in self.0.iter_mut().zip(said) {
            if !said.is_empty() {
                part.get_or_insert(said);
            }
        }
        if self.0.iter().any(Option::is_none) {
            return None;
        }
        let parts = self.0.iter_mut().map(Option::take);
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_come_at_different_steps_are_complete_with_the_last() {
        let mut parts = Parts::of(WorldSize(3));
        let said = |rank: usize, what: &str| {
            let mut said = vec![Vec::new(); 3];
            said[rank] = what.as_bytes().to_vec();
            said
        };
        assert_eq!(parts.take(vec![Vec::new(); 3]), None);
        assert_eq!(parts.take(said(2, "c")), None);
        assert_eq!(parts.take(said(0, "a")), None);
        let all = ["a", "b", "c"].map(|what| what.as_bytes().to_vec());
        assert_eq!(parts.take(said(1, "b")), Some(all.to_vec()));
        assert_eq!(parts.take(said(1, "b")), None, "of the next round");
    }

    #[test]
    fn one_rank_is_complete_alone() {
        let said = vec![vec![1]];
        assert_eq!(Parts::of(WorldSize(1)).take(said.clone()), Some(said));
    }
}
