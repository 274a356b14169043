//! The optimiser's moments in one part for each rank.

use std::ops::Range;

use twinspan_types::{Rank, WorldSize};

use safetensors::tensor::SafeTensors;

use super::tensors::{TensorBytes, Wanted, find, read, serialize};
use super::{StateDict, WeightsError, parse_safetensors, split, wanted_params};
use crate::towers::Clip;

const FIRST: &str = "exp_avg.";
const SECOND: &str = "exp_avg_sq.";

/// Writes the part of `optimizer-{rank+1}-of-{world}.safetensors`: AdamW's moments of the
/// parameters dealt to that rank. Parts are runs of whole parameters whose largest is as small as
/// it can be; a world of more ranks than parameters has empty parts.
///
/// # Panics
/// If the moments have another length than the table, or the rank is outside the world.
#[must_use]
pub fn write_optimizer_part(
    clip: &Clip,
    exp_avg: &[f32],
    exp_avg_sq: &[f32],
    rank: Rank,
    world: WorldSize,
) -> Vec<u8> {
    assert_eq!(exp_avg.len(), clip.params.total(), "values of exp_avg");
    assert_eq!(
        exp_avg_sq.len(),
        clip.params.total(),
        "values of exp_avg_sq"
    );
    assert!(rank.get() < world.get(), "rank {rank} of {world}");
    let sizes: Vec<usize> = clip.params.specs().iter().map(|spec| spec.len()).collect();
    let own = deal(&sizes, world.index()).swap_remove(rank.index());
    serialize(clip.params.specs()[own].iter().flat_map(|spec| {
        [(FIRST, exp_avg), (SECOND, exp_avg_sq)].map(|(prefix, moments)| {
            let tensor = TensorBytes::floats(&spec.shape, &moments[spec.range()]);
            (format!("{prefix}{}", spec.name), tensor)
        })
    }))
}

/// Reads the moments `(exp_avg, exp_avg_sq)` back from all parts, whatever world wrote them.
///
/// # Errors
/// When a part is no safetensors file, or all tensors that are missing, doubled or of another
/// model, at once.
pub fn read_optimizer_parts(
    clip: &Clip,
    parts: &[&[u8]],
) -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
    let parts = parts.iter().map(|part| parse_safetensors(part));
    let parts: Vec<SafeTensors<'_>> = parts.collect::<Result<_, _>>()?;
    let parts: Vec<&dyn StateDict> = parts.iter().map(|part| part as &dyn StateDict).collect();
    let (first, second) = (wanted_params(clip, FIRST), wanted_params(clip, SECOND));
    let mut exp_avg = vec![0.0; clip.params.total()];
    let mut exp_avg_sq = exp_avg.clone();
    let mut targets = split(&mut exp_avg, &first);
    targets.extend(split(&mut exp_avg_sq, &second));
    let wanted: Vec<Wanted> = first.into_iter().chain(second).collect();
    let matches = find(&parts, &wanted, |key| Some(key))?;
    read(matches, &wanted, &mut targets)?;
    Ok((exp_avg, exp_avg_sq))
}

/// Cuts a row of sizes into `parts` runs whose largest sum is as small as it can be.
fn deal(sizes: &[usize], parts: usize) -> Vec<Range<usize>> {
    let (mut low, mut high) = (
        sizes.iter().copied().max().unwrap_or(0),
        sizes.iter().sum::<usize>(),
    );
    while low < high {
        let capacity = low + (high - low) / 2;
        if pack(sizes, capacity).len() <= parts {
            high = capacity;
        } else {
            low = capacity + 1;
        }
    }
    let mut runs = pack(sizes, low);
    runs.resize(parts, sizes.len()..sizes.len());
    runs
}

/// Runs of at most `capacity`, each as long as it can be.
fn pack(sizes: &[usize], capacity: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut room = 0;
    for (index, &size) in sizes.iter().enumerate() {
        match runs.last_mut() {
            Some(run) if size <= room => run.end = index + 1,
            _ => {
                runs.push(index..index + 1);
                room = capacity;
            }
        }
        room -= size;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::deal;

    #[test]
    fn parts_are_whole_in_order_and_balanced() {
        let sizes = [1, 60, 10, 10, 10, 9];
        assert_eq!(deal(&sizes, 1)[0], 0..6);
        assert_eq!(deal(&sizes, 2), [0..2, 2..6]);
        let three = deal(&sizes, 3);
        assert_eq!((three[0].start, three[2].end), (0, 6));
        let eight = deal(&sizes, 8);
        assert_eq!(eight.iter().map(ExactSizeIterator::len).sum::<usize>(), 6);
        assert_eq!(eight.len(), 8);
    }
}
