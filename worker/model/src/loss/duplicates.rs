//! The same sample twice in one global batch, around an epoch's edge.

use std::collections::HashMap;
use std::ops::Range;

/// Far below any logit: exp of it is 0 next to any row's maximum (logits are within +-100).
const NO_NEGATIVE: f32 = -1e9;

/// Pairs of rows of the global batch that hold the same sample.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Duplicates {
    /// Ordered pairs (i, j), i != j, ascending.
    pairs: Vec<(usize, usize)>,
}

impl Duplicates {
    /// Finds them from every row's sample id, in the order of the rows.
    #[must_use]
    pub fn find(ids: &[u64]) -> Self {
        let mut rows: HashMap<u64, Vec<usize>> = HashMap::with_capacity(ids.len());
        for (row, id) in ids.iter().enumerate() {
            rows.entry(*id).or_default().push(row);
        }
        let mut pairs = Vec::new();
        for (i, id) in ids.iter().enumerate() {
            let same = &rows[id];
            pairs.extend(same.iter().filter(|j| **j != i).map(|j| (i, *j)));
        }
        Self { pairs }
    }

    /// What to add to a tile's logits, [rows, columns] row by row; none when nothing is masked.
    #[must_use]
    pub fn mask(&self, rows: &Range<usize>, columns: &Range<usize>) -> Option<Vec<f32>> {
        let from = self.pairs.partition_point(|(i, _)| *i < rows.start);
        let to = self.pairs.partition_point(|(i, _)| *i < rows.end);
        let inside = self.pairs[from..to]
            .iter()
            .filter(|(_, j)| columns.contains(j));
        let mut mask: Option<Vec<f32>> = None;
        for (i, j) in inside {
            let mask = mask.get_or_insert_with(|| vec![0.0; rows.len() * columns.len()]);
            mask[(i - rows.start) * columns.len() + (j - columns.start)] = NO_NEGATIVE;
        }
        mask
    }
}
