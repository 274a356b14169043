//! Captions of similar length go through the text tower together and are cut at the longest: what
//! follows the end-of-text token cannot reach it through the causal mask.

use std::ops::Range;

/// Token counts that a group is cut at: few, so that kernels meet few shapes.
const LENGTHS: [usize; 9] = [6, 8, 10, 12, 16, 24, 32, 48, 64];

/// Captions that are embedded together.
#[derive(Debug, PartialEq, Eq)]
pub struct TextGroup {
    /// The captions' rows in the local batch.
    pub rows: Vec<usize>,
    /// Token ids, [rows, length], padded with 0.
    pub ids: Vec<u32>,
    /// Tokens of each row.
    pub length: usize,
}

/// Sorts captions by length into `groups` groups of nearly equal size.
#[must_use]
pub fn group_by_length(
    captions: &[Vec<u32>],
    groups: usize,
    context_length: usize,
) -> Vec<TextGroup> {
    let order = by_length(captions);
    shares(order.len(), groups)
        .filter(|share| !share.is_empty())
        .map(|share| group(captions, &order[share], context_length))
        .collect()
}

/// Sorts captions into groups of at most `most` that are all cut at the same length: where a caption
/// is cut depends on its own length alone.
#[must_use]
pub fn group_by_cut(captions: &[Vec<u32>], most: usize, context_length: usize) -> Vec<TextGroup> {
    let cut = |row: &usize| cut_length(captions[*row].len(), context_length);
    by_length(captions)
        .chunk_by(|a, b| cut(a) == cut(b))
        .flat_map(|rows| rows.chunks(most.max(1)))
        .map(|rows| group(captions, rows, context_length))
        .collect()
}

fn by_length(captions: &[Vec<u32>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..captions.len()).collect();
    order.sort_by_key(|row| captions[*row].len());
    order
}

fn group(captions: &[Vec<u32>], rows: &[usize], context_length: usize) -> TextGroup {
    let lengths = rows.iter().map(|row| captions[*row].len());
    let length = cut_length(lengths.max().unwrap_or(0), context_length);
    let mut ids = Vec::with_capacity(rows.len() * length);
    for row in rows {
        ids.extend_from_slice(&captions[*row]);
        ids.resize(ids.len() + length - captions[*row].len(), 0);
    }
    TextGroup {
        rows: rows.to_vec(),
        ids,
        length,
    }
}

fn cut_length(longest: usize, context_length: usize) -> usize {
    let fixed = LENGTHS.into_iter().find(|length| *length >= longest);
    fixed.unwrap_or(context_length).min(context_length)
}

fn shares(n: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    (0..parts).map(move |part| part * n / parts..(part + 1) * n / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caption_is_in_one_group_and_groups_are_cut_at_their_longest() {
        let captions: Vec<Vec<u32>> = [9, 3, 20, 5, 77, 4].map(|n| vec![7; n]).to_vec();
        let groups = group_by_length(&captions, 3, 77);
        let lengths: Vec<usize> = groups.iter().map(|group| group.length).collect();
        assert_eq!(lengths, [6, 10, 77]);
        let mut rows: Vec<usize> = groups.iter().flat_map(|group| group.rows.clone()).collect();
        rows.sort_unstable();
        assert_eq!(rows, [0, 1, 2, 3, 4, 5]);
        assert_eq!(groups[0].ids, [7, 7, 7, 0, 0, 0, 7, 7, 7, 7, 0, 0]);
    }

    #[test]
    fn a_caption_is_cut_where_its_own_length_says() {
        let captions: Vec<Vec<u32>> = [9, 3, 20, 5, 77, 4, 6].map(|n| vec![7; n]).to_vec();
        let groups = group_by_cut(&captions, 3, 77);
        let cuts: Vec<(usize, usize)> = groups
            .iter()
            .map(|group| (group.length, group.rows.len()))
            .collect();
        assert_eq!(cuts, [(6, 3), (6, 1), (10, 1), (24, 1), (77, 1)]);
    }

    #[test]
    fn more_groups_than_captions_leave_no_empty_group() {
        let groups = group_by_length(&[vec![1, 2]], 4, 77);
        assert_eq!(groups.len(), 1);
    }
}
