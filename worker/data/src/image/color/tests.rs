//! Expected colours are torchvision 0.29.2's `adjust_brightness`, `adjust_contrast`,
//! `adjust_saturation`, `adjust_hue` and `to_grayscale` with Pillow 13.0.0.

use super::Part::{Brightness, Contrast, Hue, Saturation};
use super::*;
use std::collections::BTreeSet;

/// A picture of eight pixels.
type Row = [[u8; 3]; 8];

#[rustfmt::skip]
const PICTURE: Row = [
    [255, 0, 0], [12, 200, 64], [30, 31, 90], [250, 251, 252],
    [0, 0, 0], [128, 128, 128], [91, 17, 203], [255, 201, 7],
];

#[rustfmt::skip]
const GREY: Row = [
    [76; 3], [128; 3], [37; 3], [251; 3], [0; 3], [128; 3], [60; 3], [195; 3],
];

#[rustfmt::skip]
const CHANGED: [(Part, f64, Row); 8] = [
    (Brightness, 0.68, [
        [173, 0, 0], [8, 136, 43], [20, 21, 61], [170, 170, 171],
        [0, 0, 0], [87, 87, 87], [61, 11, 138], [173, 136, 4],
    ]),
    (Brightness, 1.32, [
        [255, 0, 0], [15, 255, 84], [39, 40, 118], [255, 255, 255],
        [0, 0, 0], [168, 168, 168], [120, 22, 255], [255, 255, 9],
    ]),
    (Contrast, 0.68, [
        [208, 34, 34], [43, 170, 78], [55, 55, 96], [204, 205, 206],
        [34, 34, 34], [121, 121, 121], [96, 46, 172], [208, 171, 39],
    ]),
    (Contrast, 1.32, [
        [255, 0, 0], [0, 229, 49], [4, 6, 83], [255, 255, 255],
        [0, 0, 0], [134, 134, 134], [85, 0, 233], [255, 230, 0],
    ]),
    (Saturation, 0.0, GREY),
    (Saturation, 1.32, [
        [255, 0, 0], [0, 223, 43], [27, 29, 106], [249, 251, 252],
        [0, 0, 0], [128, 128, 128], [100, 3, 248], [255, 202, 0],
    ]),
    (Hue, -0.08, [
        [255, 0, 114], [52, 200, 13], [30, 60, 90], [250, 252, 252],
        [0, 0, 0], [128, 128, 128], [18, 35, 203], [255, 83, 7],
    ]),
    (Hue, 0.3, [
        [54, 255, 0], [21, 13, 200], [90, 30, 44], [252, 250, 251],
        [0, 0, 0], [128, 128, 128], [203, 44, 18], [7, 255, 147],
    ]),
];

fn random(sample: usize) -> Keyed {
    Keyed::with_text("test", &[1], &sample.to_string())
}

/// What becomes of the picture of one sample.
fn augmented(config: &AugmentationConfig, sample: usize) -> Vec<u8> {
    let mut rgb = PICTURE.as_flattened().to_vec();
    augment(&mut rgb, config, &mut random(sample));
    rgb
}

fn jitter_only(most: [f64; 4]) -> AugmentationConfig {
    AugmentationConfig {
        color_jitter: Some(most),
        color_jitter_prob: 1.0,
        gray_scale_prob: 0.0,
    }
}

#[test]
fn each_change_is_torchvisions_to_the_bit() {
    for (part, factor, expected) in CHANGED {
        let mut picture = PICTURE;
        part.change(picture.as_flattened_mut(), factor);
        assert_eq!(picture, expected, "{part:?} {factor}");
    }
    let mut picture = PICTURE;
    pixels::grey(picture.as_flattened_mut());
    assert_eq!(picture, GREY);
}

#[test]
fn a_factor_of_one_changes_nothing() {
    for part in [Brightness, Contrast, Saturation] {
        let mut picture = PICTURE;
        part.change(picture.as_flattened_mut(), 1.0);
        assert_eq!(picture, PICTURE, "{part:?}");
    }
}

#[test]
fn changes_that_follow_each_other_are_torchvisions_to_the_bit() {
    let mut picture = PICTURE;
    for (part, factor) in [
        (Contrast, 1.2),
        (Saturation, 0.7),
        (Hue, 0.05),
        (Brightness, 0.9),
    ] {
        part.change(picture.as_flattened_mut(), factor);
    }
    #[rustfmt::skip]
    let expected: Row = [
        [180, 65, 19], [36, 172, 107], [26, 14, 60], [229, 229, 229],
        [0, 0, 0], [117, 117, 117], [105, 13, 153], [195, 216, 54],
    ];
    assert_eq!(picture, expected);
}

#[test]
fn factors_are_drawn_from_all_of_their_range_and_never_below_zero() {
    assert_eq!(Brightness.range(0.25), (0.75, 1.25));
    assert_eq!(Contrast.range(1.5), (0.0, 2.5));
    assert_eq!(Hue.range(0.1), (-0.1, 0.1));
    let config = jitter_only([0.25, 0.0, 0.0, 0.0]);
    // The grey of 128, from 96 to 160 and every one between.
    let greys: BTreeSet<u8> = (0..2000).map(|n| augmented(&config, n)[15]).collect();
    assert!(greys.into_iter().eq(96..=159));
}

#[test]
fn the_four_parts_come_in_every_order() {
    let orders: BTreeSet<[usize; 4]> = (0..500)
        .map(|sample| {
            let mut order = [0, 1, 2, 3];
            random(sample).shuffle(&mut order);
            order
        })
        .collect();
    assert_eq!(orders.len(), 24);
    let all = jitter_only([0.32, 0.32, 0.32, 0.08]);
    let pictures: BTreeSet<Vec<u8>> = (0..500).map(|sample| augmented(&all, sample)).collect();
    assert!(pictures.len() > 490);
}

#[test]
fn the_asked_share_of_pictures_changes() {
    let share = |config: AugmentationConfig, changed: &[u8]| {
        let like = |sample: &usize| (augmented(&config, *sample) == changed) as usize;
        (0..2000).map(|sample| like(&sample)).sum::<usize>()
    };
    let whole = PICTURE.as_flattened();
    let jitter = AugmentationConfig {
        color_jitter_prob: 0.8,
        ..jitter_only([0.32, 0.32, 0.32, 0.08])
    };
    let left = share(jitter, whole);
    assert!(
        (340..460).contains(&left),
        "{left} of 2000 left as they are"
    );
    let grey = AugmentationConfig {
        gray_scale_prob: 0.2,
        ..AugmentationConfig::default()
    };
    let grey = share(grey, GREY.as_flattened());
    assert!((340..460).contains(&grey), "{grey} of 2000 grey");
    assert_eq!(share(AugmentationConfig::default(), whole), 2000);
    assert_eq!(share(jitter_only([0.0; 4]), whole), 2000);
}

#[test]
fn a_sample_looks_the_same_each_time() {
    let config = AugmentationConfig {
        gray_scale_prob: 0.2,
        ..jitter_only([0.32, 0.32, 0.32, 0.08])
    };
    for sample in 0..50 {
        assert_eq!(augmented(&config, sample), augmented(&config, sample));
    }
}
