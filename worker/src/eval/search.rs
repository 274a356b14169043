//! The nearest of many vectors.

use serde::{Deserialize, Serialize};
use twinspan_data::vectors::{Kind, VectorReader, VectorsError};

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SearchReport {
    /// The nearest, the first of them nearest of all.
    pub results: Vec<Neighbor>,
    /// Vectors that were compared.
    pub searched: u64,
}

/// A vector near the query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// Path, webdataset key or text.
    pub key: String,
    /// Cosine with the query.
    pub cosine: f64,
}

/// The `k` vectors of a kind with the largest cosine with a unit `query` [e]; equal ones stand in
/// the file's order.
///
/// # Errors
/// When the file is broken.
pub fn search(
    query: &[f32],
    mut vectors: VectorReader,
    kind: Kind,
    k: usize,
) -> Result<SearchReport, VectorsError> {
    let mut report = SearchReport {
        results: Vec::new(),
        searched: 0,
    };
    while let Some(group) = vectors.next_group()? {
        let rows = group.values.chunks(query.len());
        let rows = group.keys.into_iter().zip(&group.kinds).zip(rows);
        let of_kind = rows.filter(|((_, found), _)| **found == kind);
        for ((key, _), row) in of_kind {
            let cosine = cosine(query, row);
            report.searched += 1;
            report.results.push(Neighbor { key, cosine });
        }
        // The sort is stable, so that the earlier one of two equals stays.
        let nearest = |a: &Neighbor, b: &Neighbor| b.cosine.total_cmp(&a.cosine);
        report.results.sort_by(nearest);
        report.results.truncate(k);
    }
    Ok(report)
}

/// Of unit vectors.
fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
    products.sum()
}
