//! How often the right class came first: counts that add up, and what follows from them.

use serde::{Deserialize, Serialize};

/// The pictures of one class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassHits {
    /// Pictures.
    pub samples: u64,
    /// Those whose class came first.
    pub top1: u64,
    /// Those whose class was among the first five.
    pub top5: u64,
}

/// What the counts of all classes come to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Accuracy {
    pub(super) samples: u64,
    pub(super) top1: f64,
    pub(super) top5: f64,
    /// scikit-learn's balanced accuracy, which CLIP_benchmark calls so: classes without pictures
    /// do not count.
    pub(super) mean_per_class_recall: f64,
}

impl ClassHits {
    /// Counts a picture before whose class so many others came.
    pub(super) fn count(&mut self, rank: usize) {
        self.samples += 1;
        self.top1 += u64::from(rank < 1);
        self.top5 += u64::from(rank < 5);
    }
}

/// Adds counts of the same classes; either may be of none yet.
pub(super) fn merge(classes: &mut Vec<ClassHits>, others: &[ClassHits]) {
    classes.resize(classes.len().max(others.len()), ClassHits::default());
    for (class, other) in classes.iter_mut().zip(others) {
        class.samples += other.samples;
        class.top1 += other.top1;
        class.top5 += other.top5;
    }
}

/// None where no picture was counted.
pub(super) fn accuracy(classes: &[ClassHits]) -> Option<Accuracy> {
    let seen = classes.iter().filter(|class| class.samples > 0);
    let recalls = seen.map(|class| class.top1 as f64 / class.samples as f64);
    let recalls: Vec<f64> = recalls.collect();
    let sum = |part: fn(&ClassHits) -> u64| classes.iter().map(part).sum::<u64>();
    let samples = sum(|class| class.samples);
    (samples > 0).then(|| Accuracy {
        samples,
        top1: sum(|class| class.top1) as f64 / samples as f64,
        top5: sum(|class| class.top5) as f64 / samples as f64,
        mean_per_class_recall: recalls.iter().sum::<f64>() / recalls.len() as f64,
    })
}

/// How many come before the right answer, from 0; equal scores stand in their order. What is no
/// number comes before as another's score, and last as the right one's.
pub(crate) fn rank_of(scores: &[f32], right: usize) -> usize {
    let score = scores[right];
    let before = |(i, other): (usize, &f32)| match other.partial_cmp(&score) {
        Some(order) => order.is_gt() || (order.is_eq() && i < right),
        None => i != right,
    };
    scores
        .iter()
        .enumerate()
        .filter(|entry| before(*entry))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_do_not_count_as_a_hit_before_their_turn() {
        assert_eq!(rank_of(&[0.5, 0.5, 0.5], 2), 2);
    }

    #[test]
    fn a_class_with_many_pictures_weighs_as_much_in_the_recall_as_one_with_few() {
        let mut classes = vec![ClassHits::default(); 3];
        for rank in [0, 0, 0, 7] {
            classes[0].count(rank);
        }
        classes[2].count(3);
        let accuracy = accuracy(&classes).expect("pictures");
        assert_eq!(
            (accuracy.samples, accuracy.top1, accuracy.top5),
            (5, 0.6, 0.8)
        );
        assert_eq!(accuracy.mean_per_class_recall, (0.75 + 0.0) / 2.0);
    }

    #[test]
    fn counts_of_shares_add_up_and_none_at_all_have_no_accuracy() {
        let hit = ClassHits {
            samples: 2,
            top1: 1,
            top5: 2,
        };
        let mut sum = Vec::new();
        merge(&mut sum, &[ClassHits::default(), hit]);
        merge(&mut sum, &[hit, hit]);
        assert_eq!(
            sum[1],
            ClassHits {
                samples: 4,
                top1: 2,
                top5: 4
            }
        );
        assert_eq!(sum[0], hit);
        assert_eq!(accuracy(&[ClassHits::default()]), None);
    }

    #[test]
    fn what_is_no_number_is_never_a_hit() {
        assert_eq!(rank_of(&[0.1, f32::NAN, 0.2], 1), 2);
        assert_eq!(rank_of(&[f32::NAN, 0.1, f32::NAN], 1), 2);
        assert_eq!(rank_of(&[f32::NAN; 3], 0), 2);
    }
}
