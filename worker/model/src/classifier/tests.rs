use super::*;
use crate::towers::testing::{small_resnet, small_vit};
use twinspan_types::Step;
use twinspan_types::config::{OptimizerConfig, Schedule};

const CLASSES: usize = 3;
const LABELS: [usize; 6] = [0, 1, 2, 2, 1, 0];

/// Pictures of one colour for each class, with a little noise.
fn pictures(side: usize) -> Vec<u8> {
    let mut noise = vec![0.0; LABELS.len() * side * side * 3];
    Init::Normal(8.0).fill(1, "pictures", &mut noise);
    let value = |(place, noise): (usize, &f32)| {
        let (picture, colour) = (place / (3 * side * side), place % 3);
        let base = if LABELS[picture] == colour {
            190.0
        } else {
            60.0
        };
        (base + noise) as u8
    };
    noise.iter().enumerate().map(value).collect()
}

/// First values with noise, so that no weight is zero.
fn noisy(classifier: &Classifier) -> ClassifierState {
    let mut state = classifier.initial(3);
    for values in [&mut state.params, &mut state.head] {
        let mut noise = vec![0.0; values.len()];
        Init::Normal(0.1).fill(4, "noise", &mut noise);
        add(values, &noise);
    }
    state
}

/// No patch is dropped, so that they matter to nothing.
static DRAWS: [u64; LABELS.len()] = [0; LABELS.len()];

/// All pictures or a part of them.
fn labelled<'a>(pixels: &'a [u8], labels: &'a [usize]) -> Labelled<'a> {
    let draws = PatchDraws {
        seed: 0,
        pictures: &DRAWS[..labels.len()],
    };
    Labelled {
        pixels,
        labels,
        draws,
    }
}

fn optimizer() -> OptimizerConfig {
    OptimizerConfig {
        lr: 3e-3,
        beta1: 0.9,
        beta2: 0.98,
        eps: 1e-6,
        weight_decay: 0.0,
        warmup: 0,
        schedule: Schedule::Const,
        cooldown: 0,
        grad_clip_norm: Some(1.0),
        max_bad_steps: 1,
    }
}

fn whole(batch: usize, group: usize) -> Grouping {
    Grouping { group, batch }
}

/// The slope of the loss along a direction, from the gradient and from pairs of losses.
fn slopes(classifier: &Classifier, of_head: bool) -> (f64, [f64; 3]) {
    let state = noisy(classifier);
    let pixels = pictures(classifier.image_size() as usize);
    let loss = |state: &ClassifierState| {
        let grouping = whole(LABELS.len(), LABELS.len());
        classifier.gradient(state, labelled(&pixels, &LABELS), grouping)
    };
    let gradient = loss(&state);
    let gradient = if of_head {
        gradient.head
    } else {
        gradient.tower
    };
    let mut direction = vec![0.0; gradient.len()];
    Init::Normal(1.0).fill(5, "direction", &mut direction);
    // Along the gradient the slope is far from zero whatever was drawn.
    let norm = global_norm(&gradient) as f32;
    let scale = norm / (direction.len() as f32).sqrt();
    for (step, slope) in direction.iter_mut().zip(&gradient) {
        *step = (*step * scale + slope) / norm;
    }
    let moved = |by: f32| {
        let mut state = state.clone();
        let values = if of_head {
            &mut state.head
        } else {
            &mut state.params
        };
        for (value, step) in values.iter_mut().zip(&direction) {
            *value += by * step;
        }
        loss(&state).loss
    };
    // The rectifiers' corners disturb the wide steps, and rounding the narrow ones.
    let measured =
        [2e-3_f32, 5e-4, 1e-4].map(|by| (moved(by) - moved(-by)) / (2.0 * f64::from(by)));
    let products = gradient.iter().zip(&direction);
    let computed = products
        .map(|(slope, step)| f64::from(*slope) * f64::from(*step))
        .sum();
    (computed, measured)
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    for clip in [small_vit(), small_resnet()] {
        let classifier = Classifier::new(&clip.config, CLASSES);
        for of_head in [true, false] {
            let (computed, measured) = slopes(&classifier, of_head);
            let near = |measured: &f64| (computed - measured).abs() < 1e-2 * computed.abs();
            assert!(
                measured.iter().any(near),
                "computed {computed}, measured {measured:?}, head: {of_head}"
            );
        }
    }
}

#[test]
fn parts_of_a_batch_add_up_to_the_whole() {
    let classifier = Classifier::new(&small_resnet().config, CLASSES);
    let state = noisy(&classifier);
    let pixels = pictures(64);
    let part = |pictures: std::ops::Range<usize>| {
        let bytes = pixels.len() / LABELS.len();
        classifier.gradient(
            &state,
            labelled(
                &pixels[pictures.start * bytes..pictures.end * bytes],
                &LABELS[pictures],
            ),
            whole(6, 2),
        )
    };
    let all = part(0..6);
    let mut sum = part(0..2);
    sum.add(&part(2..6));
    assert!((sum.loss - all.loss).abs() < 1e-6);
    assert_eq!(sum.groups, 3);
    for (sum, all) in [
        (&sum.tower, &all.tower),
        (&sum.head, &all.head),
        (&sum.batch_stats, &all.batch_stats),
    ] {
        let norm = global_norm(all);
        let gaps: Vec<f32> = sum.iter().zip(all).map(|(sum, all)| sum - all).collect();
        assert!(global_norm(&gaps) < 1e-4 * norm);
    }
}

#[test]
fn it_learns_a_toy_set_without_a_fault() {
    let config = optimizer();
    let classifier = Classifier::new(&small_resnet().config, CLASSES);
    let mut state = classifier.initial(0);
    let pixels = pictures(64);
    for step in 0..60 {
        let gradient = classifier.gradient(&state, labelled(&pixels, &LABELS), whole(6, 6));
        let adamw = AdamW::new(&config, Step(step), config.lr);
        assert!(classifier.update(&mut state, &gradient, &adamw, config.grad_clip_norm));
    }
    let scores = classifier.scores(&state, &pixels);
    for (row, label) in scores.chunks(CLASSES).zip(LABELS) {
        assert!(row.iter().all(|score| *score <= row[label]), "{row:?}");
    }
}

#[test]
fn numbers_that_are_not_finite_change_nothing() {
    let classifier = Classifier::new(&small_vit().config, CLASSES);
    let mut state = classifier.initial(0);
    let before = state.clone();
    let pixels = pictures(8);
    let mut gradient = classifier.gradient(&state, labelled(&pixels, &LABELS), whole(6, 6));
    gradient.head[0] = f32::NAN;
    let config = optimizer();
    let adamw = AdamW::new(&config, Step(0), config.lr);
    assert!(!classifier.update(&mut state, &gradient, &adamw, None));
    assert_eq!(state, before);
}
