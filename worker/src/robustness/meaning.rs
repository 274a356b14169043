//! What two rows of accuracies mean, in words: a difference is told as one only where chance alone
//! would hardly make it.

use super::accuracy::Z_95;
use super::report::ModelAccuracy;

/// Two lines: of the share that each model keeps, and of the unseen style itself.
pub(super) fn meaning(clip: &ModelAccuracy, supervised: &ModelAccuracy) -> Vec<String> {
    vec![kept(clip, supervised), unseen(clip, supervised)]
}

fn kept(clip: &ModelAccuracy, supervised: &ModelAccuracy) -> String {
    let (Some(own), Some(other)) = (clip.share_kept, supervised.share_kept) else {
        return "A model that finds nothing in the seen styles has nothing to keep: train longer."
            .to_owned();
    };
    let told = format!(
        "In the unseen style CLIP keeps {:.0} % of its accuracy and the {} {:.0} %",
        100.0 * own,
        supervised.model,
        100.0 * other
    );
    let variance = kept_variance(clip) + kept_variance(supervised);
    let verdict = match (own.ln() - other.ln()) / variance.sqrt() {
        z if z > Z_95 => "CLIP is the more robust of the two here",
        z if z < -Z_95 => "CLIP is the less robust of the two here",
        _ => "chance alone can make this difference, so neither is shown to be more robust",
    };
    format!("{told}: {verdict}.")
}

/// Variance of the logarithm of the share that is kept, as if seen and unseen pictures were drawn
/// each for itself.
fn kept_variance(model: &ModelAccuracy) -> f64 {
    model.seen.log_variance() + model.unseen.log_variance()
}

fn unseen(clip: &ModelAccuracy, supervised: &ModelAccuracy) -> String {
    let difference = clip.unseen.top1 - supervised.unseen.top1;
    // Both saw the same pictures and are often right on the same ones, so that the true variance
    // is smaller: this errs on the side of chance.
    let deviation = (clip.unseen.variance() + supervised.unseen.variance()).sqrt();
    let points = 100.0 * difference.abs();
    let model = &supervised.model;
    match difference / deviation {
        z if z > Z_95 => {
            format!("There it is right on {points:.1} more pictures of 100 than the {model}.")
        }
        z if z < -Z_95 => {
            format!("There it is right on {points:.1} fewer pictures of 100 than the {model}.")
        }
        _ => format!(
            "There the two are right about as often: {points:.1} pictures of 100 are within chance."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::robustness::Accuracy;

    fn model(seen: usize, unseen: usize) -> ModelAccuracy {
        let of_thousand = |correct| Accuracy::new(correct, 1000);
        ModelAccuracy::new("ResNet".to_owned(), of_thousand(seen), of_thousand(unseen))
    }

    #[test]
    fn a_large_difference_is_told_as_one_in_either_direction() {
        let lines = meaning(&model(500, 400), &model(500, 200));
        assert!(lines[0].contains("keeps 80 % of its accuracy and the ResNet 40 %"));
        assert!(lines[0].contains("more robust of the two"), "{}", lines[0]);
        assert!(lines[1].contains("20.0 more"), "{}", lines[1]);
        let lines = meaning(&model(500, 200), &model(500, 400));
        assert!(lines[0].contains("less robust of the two"), "{}", lines[0]);
        assert!(lines[1].contains("20.0 fewer"), "{}", lines[1]);
    }

    #[test]
    fn a_small_difference_is_told_as_chance() {
        let lines = meaning(&model(500, 400), &model(510, 400));
        assert!(lines[0].contains("neither is shown"), "{}", lines[0]);
        assert!(lines[1].contains("within chance"), "{}", lines[1]);
    }

    #[test]
    fn models_that_find_nothing_are_not_compared() {
        for lines in [
            meaning(&model(0, 0), &model(0, 0)),
            meaning(&model(0, 3), &model(5, 0)),
        ] {
            assert!(lines[0].contains("nothing to keep"), "{}", lines[0]);
        }
        let lines = meaning(&model(5, 0), &model(5, 0));
        assert!(lines[0].contains("neither is shown"), "{}", lines[0]);
        assert!(lines[1].contains("within chance"), "{}", lines[1]);
    }
}
