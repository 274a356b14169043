//! Patch dropout (Li et al. 2023, "Scaling Language-Image Pre-training via Masking"): in training a
//! ViT sees a random part of each picture's patches.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the draws of some pictures depend on: nothing else, so that a step done again and any number
/// of ranks see the same patches.
#[derive(Clone, Copy, Debug)]
pub struct PatchDraws<'a> {
    /// The run's seed.
    pub seed: u64,
    /// A number for each picture in each epoch.
    pub pictures: &'a [u64],
}

/// Patches that stay of so many, as open_clip counts them.
pub(super) fn kept(patches: usize, dropped: f64) -> usize {
    ((patches as f64 * (1.0 - dropped)) as usize).clamp(1, patches)
}

impl PatchDraws<'_> {
    /// The patches that stay of each picture, `[b * kept]`, each picture's in their order.
    pub(super) fn draw(&self, patches: usize, kept: usize) -> Vec<usize> {
        let each = |&picture: &u64| {
            let mut key = *b"................twinspan-patches";
            key[..8].copy_from_slice(&self.seed.to_le_bytes());
            key[8..16].copy_from_slice(&picture.to_le_bytes());
            let mut random = ChaCha8Rng::from_seed(key);
            let mut order: Vec<usize> = (0..patches).collect();
            for place in 0..kept {
                let rest = (patches - place) as u128;
                let step = (u128::from(random.next_u64()) * rest) >> 64;
                order.swap(place, place + step as usize);
            }
            order.truncate(kept);
            order.sort_unstable();
            order
        };
        self.pictures.iter().flat_map(each).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_picture_keeps_its_own_patches_whatever_stands_beside_it() {
        let draw = |pictures: &[u64]| PatchDraws { seed: 3, pictures }.draw(9, 4);
        let both = draw(&[1, 2]);
        assert_eq!(both[..4], draw(&[1]));
        assert_eq!(both[4..], draw(&[2]));
        assert_ne!(both[..4], both[4..]);
        for patches in both.chunks(4) {
            assert!(patches.is_sorted_by(|a, b| a < b) && patches[3] < 9);
        }
        let other = PatchDraws {
            seed: 4,
            pictures: &[1],
        };
        assert_ne!(other.draw(9, 4), both[..4]);
    }

    #[test]
    fn every_patch_is_kept_equally_often() {
        let pictures: Vec<u64> = (0..8000).collect();
        let draws = PatchDraws {
            seed: 0,
            pictures: &pictures,
        };
        let mut counts = [0; 4];
        draws
            .draw(4, 2)
            .into_iter()
            .for_each(|patch| counts[patch] += 1);
        assert!(
            counts.iter().all(|count| (3800..4200).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_count_is_open_clips_and_never_nothing() {
        assert_eq!([kept(49, 0.5), kept(196, 0.75), kept(4, 0.99)], [24, 49, 1]);
    }
}
