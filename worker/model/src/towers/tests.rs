use burn::tensor::{Device, TensorData};

use super::testing::{small_resnet, small_vit};
use super::*;
use crate::params::{Init, Tower};

/// Texts of 12 ids with their end (39) at different places; 3 stands twice in the first.
const IDS: [[u32; 12]; 4] = [
    [38, 3, 7, 3, 39, 0, 0, 0, 0, 0, 0, 0],
    [38, 9, 39, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [38, 3, 11, 12, 13, 39, 0, 0, 0, 0, 0, 0],
    [38, 39, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

fn normals(seed: u64, name: &str, count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    Init::Normal(1.0).fill(seed, name, &mut values);
    values
}

/// First values with noise, so that no weight and no bias is zero.
fn noisy(clip: &Clip) -> Vec<f32> {
    let mut flat = clip.params.init(3);
    let noise = normals(4, "noise", flat.len());
    flat.iter_mut()
        .zip(noise)
        .for_each(|(value, noise)| *value += 0.1 * noise);
    flat
}

/// Smooth random pictures, so that pooling leaves something of them.
fn pictures(clip: &Clip, batch: usize) -> Vec<u8> {
    let side = clip.config.vision.image_size();
    let waves = normals(5, "waves", batch * 3 * 3);
    let value = |place: usize| {
        let (picture, pixel, colour) = (
            place / (3 * side * side),
            place / 3 % (side * side),
            place % 3,
        );
        let wave = &waves[(picture * 3 + colour) * 3..][..3];
        let (row, column) = ((pixel / side) as f32, (pixel % side) as f32);
        let phase = wave[0] * row + wave[1] * column + 3.0 * wave[2];
        (127.0 + 120.0 * phase.sin()) as u8
    };
    (0..batch * 3 * side * side).map(value).collect()
}

fn values(tensor: &Tensor<2>) -> Vec<f32> {
    tensor.to_data().try_to_vec().expect("f32")
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    let products = left.iter().zip(right);
    products
        .map(|(&left, &right)| f64::from(left) * f64::from(right))
        .sum()
}

fn close(left: &[f32], right: &[f32], tolerance: f32) {
    assert_eq!(left.len(), right.len());
    let gap = left
        .iter()
        .zip(right)
        .fold(0.0_f32, |most, (l, r)| most.max((l - r).abs()));
    assert!(gap <= tolerance, "they differ by {gap}");
}

/// Image and text embeddings of the test's samples.
fn embed(clip: &Clip, flat: &[f32], device: &Device) -> [Vec<f32>; 2] {
    let w = clip.weights(flat, device);
    let images = clip.embed_images(&w, &pictures(clip, 4), 4, BatchNorm::Batch, None);
    let texts = clip.embed_texts(&w, IDS.as_flattened(), 12);
    [values(&images.embeddings), values(&texts.embeddings)]
}

/// The gradient of the embeddings' products with `upstream`, texts cut to `length`.
fn gradient(clip: &Clip, flat: &[f32], upstream: &[Vec<f32>; 2], length: usize) -> Vec<f32> {
    let w = clip.weights(flat, &Device::flex().autodiff());
    gradient_with(clip, &w, flat, upstream, length)
}

fn gradient_with(
    clip: &Clip,
    w: &Weights<'_>,
    flat: &[f32],
    upstream: &[Vec<f32>; 2],
    length: usize,
) -> Vec<f32> {
    let images = clip.embed_images(w, &pictures(clip, 4), 4, BatchNorm::Batch, None);
    let ids: Vec<u32> = IDS.iter().flat_map(|ids| &ids[..length]).copied().collect();
    let texts = clip.embed_texts(w, &ids, length);
    let outputs = vec![
        pulled(images.embeddings, images.tape, &upstream[0]),
        pulled(texts.embeddings.clone(), texts.tape.clone(), &upstream[1]),
    ];
    let mut out = Gradient::Host(vec![0.0; flat.len()]);
    clip.backward(w, outputs, &[texts], &mut out);
    out.to_host().into_owned()
}

/// The gradient of an output's product with `upstream`.
fn pulled(embeddings: Tensor<2>, tape: Option<Tape>, upstream: &[f32]) -> Pulled {
    let data = TensorData::new(upstream.to_vec(), embeddings.dims());
    Pulled {
        gradient: Tensor::from_data(data, &Device::flex()),
        embeddings,
        tape,
    }
}

fn upstream() -> [Vec<f32>; 2] {
    ["image", "text"].map(|name| normals(6, name, 4 * 8))
}

#[test]
fn embeddings_are_unit_rows_and_the_same_without_a_graph() {
    for clip in [small_vit(), small_resnet()] {
        let flat = noisy(&clip);
        let plain = embed(&clip, &flat, &Device::flex());
        let tracked = embed(&clip, &flat, &Device::flex().autodiff());
        for (plain, tracked) in plain.iter().zip(&tracked) {
            assert_eq!(plain.len(), 4 * 8);
            for row in plain.chunks_exact(8) {
                assert!((dot(row, row) - 1.0).abs() < 1e-5, "{row:?}");
            }
            close(plain, tracked, 1e-6);
        }
        assert_ne!(plain[0][..8], plain[0][8..16]);
    }
}

#[test]
fn cutting_texts_to_the_longest_changes_no_embedding_and_no_gradient() {
    let clip = small_vit();
    let flat = noisy(&clip);
    let w = clip.weights(&flat, &Device::flex());
    let cut: Vec<u32> = IDS.iter().flat_map(|ids| &ids[..6]).copied().collect();
    let long = clip.embed_texts(&w, IDS.as_flattened(), 12);
    let short = clip.embed_texts(&w, &cut, 6);
    close(&values(&long.embeddings), &values(&short.embeddings), 1e-5);
    let long = gradient(&clip, &flat, &upstream(), 12);
    let short = gradient(&clip, &flat, &upstream(), 6);
    close(
        &long,
        &short,
        1e-5 * long
            .iter()
            .fold(1.0_f32, |most, value| most.max(value.abs())),
    );
}

#[test]
fn gradients_agree_with_finite_differences_in_every_parameter() {
    for clip in [small_vit(), small_resnet()] {
        let flat = noisy(&clip);
        let upstream = upstream();
        let gradient = gradient(&clip, &flat, &upstream, 12);
        let value = |flat: &[f32]| {
            let embeddings = embed(&clip, flat, &Device::flex());
            dot(&embeddings[0], &upstream[0]) + dot(&embeddings[1], &upstream[1])
        };
        let mut probe = flat.clone();
        let mut check = |place: usize, name: &str| {
            let spec = clip.params.find(name).expect(name);
            let largest = gradient[spec.range()]
                .iter()
                .fold(0.0, |most: f32, g| most.max(g.abs()));
            let found = f64::from(gradient[place]);
            let allowed = 2e-3 + 0.02 * found.abs() + 0.01 * f64::from(largest);
            // A long step may pass a rectifier's kink, a short one drowns in rounding.
            let expected = [4e-3_f32, 1e-3, 2.5e-4].map(|step| {
                probe[place] = flat[place] + step;
                let above = value(&probe);
                probe[place] = flat[place] - step;
                let below = value(&probe);
                probe[place] = flat[place];
                (above - below) / (2.0 * f64::from(step))
            });
            assert!(
                expected
                    .iter()
                    .any(|expected| (expected - found).abs() < allowed),
                "{name}[{}]: {found}, not one of {expected:?}",
                place - spec.offset
            );
        };
        for spec in clip.params.specs() {
            let size = |place: &usize| gradient[*place].abs();
            let largest = spec.range().max_by(|a, b| size(a).total_cmp(&size(b)));
            check(largest.expect("no parameter is empty"), &spec.name);
            check(spec.offset + spec.len() / 2, &spec.name);
        }
        // Token 3 stands at three places of two texts, token 20 nowhere.
        let tokens = clip.params.token_embedding();
        for column in 0..3 {
            check(tokens.offset + 3 * 16 + column, &tokens.name);
            assert_eq!(gradient[tokens.offset + 20 * 16 + column], 0.0);
        }
        assert_eq!(gradient[clip.params.logit_scale()], 0.0);
        assert!(
            gradient[clip.params.range(Tower::Image)]
                .iter()
                .any(|&value| value != 0.0)
        );
    }
}

#[test]
fn one_backward_over_groups_adds_what_separate_ones_give() {
    let clip = small_vit();
    let flat = noisy(&clip);
    let w = clip.weights(&flat, &Device::flex().autodiff());
    let [image_gradient, text_gradient] = upstream();
    let run = |bounds: &[usize], out: &mut Gradient| {
        let (mut outputs, mut texts) = (Vec::new(), Vec::new());
        for bounds in bounds.windows(2) {
            let group = bounds[0]..bounds[1];
            let text = clip.embed_texts(&w, IDS[group.clone()].as_flattened(), 12);
            let own = 8 * group.start..8 * group.end;
            let embeddings = text.embeddings.clone();
            outputs.push(pulled(embeddings, None, &text_gradient[own.clone()]));
            texts.push(text);
            let side = 8 * 8 * 3;
            let pixels = &pictures(&clip, 4)[side * group.start..side * group.end];
            let image = clip.embed_images(&w, pixels, group.len(), BatchNorm::Batch, None);
            outputs.push(pulled(image.embeddings, None, &image_gradient[own]));
        }
        clip.backward(&w, outputs, &texts, out);
    };
    let zeros = || Gradient::Host(vec![0.0; flat.len()]);
    let (mut together, mut apart) = (zeros(), zeros());
    run(&[0, 1, 4], &mut together);
    run(&[0, 1], &mut apart);
    run(&[1, 4], &mut apart);
    let [together, apart] = [&together, &apart].map(Gradient::to_host);
    close(&together, &apart, 1e-4);
    close(&together, &gradient(&clip, &flat, &upstream(), 12), 1e-4);
}

#[test]
fn activations_that_are_computed_again_give_the_same_gradient() {
    let compute = Compute {
        recompute: true,
        ..Compute::cpu()
    };
    for clip in [small_vit(), small_resnet()] {
        let flat = noisy(&clip);
        let numbers = Flat::Host(flat.clone());
        let w = clip.step_weights(&numbers, &compute);
        let again = gradient_with(&clip, &w, &flat, &upstream(), 12);
        close(&again, &gradient(&clip, &flat, &upstream(), 12), 1e-6);
    }
}

/// The gradient of the embeddings' products with the upstream one, by weights that stay on a device.
fn resident_gradient(clip: &Clip, flat: &[f32], compute: &Compute) -> Vec<f32> {
    let numbers = Flat::Host(flat.to_vec()).placed(&clip.params, compute);
    assert_eq!(*numbers.to_host(), flat[..]);
    let w = clip.step_weights(&numbers, compute);
    let images = clip.embed_images(&w, &pictures(clip, 4), 4, BatchNorm::Batch, None);
    let texts = clip.embed_texts(&w, IDS.as_flattened(), 12);
    let outputs = [
        (images.embeddings, images.tape),
        (texts.embeddings.clone(), texts.tape.clone()),
    ];
    let outputs = outputs.into_iter().zip(upstream());
    let outputs = outputs.map(|((embeddings, tape), upstream)| {
        let data = TensorData::new(upstream, embeddings.dims());
        Pulled {
            gradient: Tensor::from_data(data, &compute.device),
            embeddings,
            tape,
        }
    });
    let mut out = Gradient::zeros(&clip.params, compute);
    clip.backward(&w, outputs.collect(), &[texts], &mut out);
    let Gradient::Resident(pieces) = &mut out else {
        panic!("a resident gradient");
    };
    let whole = pieces.assemble(&clip.params, Ok::<_, ()>);
    whole.expect("the pieces");
    out.to_host().into_owned()
}

#[test]
fn weights_that_stay_on_the_device_give_the_same_gradient() {
    for recompute in [false, true] {
        let compute = Compute {
            recompute,
            ..Compute::on(Device::flex())
        };
        for clip in [small_vit(), small_resnet()] {
            let flat = noisy(&clip);
            let resident = resident_gradient(&clip, &flat, &compute);
            close(&resident, &gradient(&clip, &flat, &upstream(), 12), 1e-6);
        }
    }
}

#[test]
#[cfg(feature = "gpu")]
fn towers_of_half_precision_give_nearly_the_gradient_of_full_precision() {
    let device = crate::ops::tests::device_under_test();
    let halves = [DType::BF16, DType::F16].map(|dtype| (dtype, device.supports_dtype(dtype)));
    let Some((dtype, _)) = halves.into_iter().find(|(_, supported)| *supported) else {
        eprintln!("skipped: this device has neither bf16 nor fp16");
        return;
    };
    for recompute in [false, true] {
        let compute = Compute {
            dtype,
            recompute,
            ..Compute::on(device.clone())
        };
        // A batch norm over four pictures makes much of little.
        for (clip, most) in [(small_vit(), 0.02), (small_resnet(), 0.2)] {
            let flat = noisy(&clip);
            let half = resident_gradient(&clip, &flat, &compute);
            let full = gradient(&clip, &flat, &upstream(), 12);
            let norm = |values: &[f32]| dot(values, values).sqrt();
            let gap: Vec<f32> = half.iter().zip(&full).map(|(h, f)| h - f).collect();
            let error = norm(&gap) / norm(&full);
            eprintln!("{dtype:?}, recompute {recompute}: {error:.1e}");
            assert!(error < most, "{dtype:?}: the gradient is off by {error}");
            assert!(error > 1e-6, "{dtype:?} was not computed in");
        }
    }
}

#[test]
fn running_statistics_of_the_same_pictures_give_the_same_embeddings() {
    let clip = small_resnet();
    let flat = noisy(&clip);
    let w = clip.weights(&flat, &Device::flex());
    let pixels = pictures(&clip, 64);
    let batch = clip.embed_images(&w, &pixels, 64, BatchNorm::Batch, None);
    assert_eq!(batch.batch_stats.len(), clip.buffers.total());
    let running = BatchNorm::Running(&batch.batch_stats);
    let evaluated = clip.embed_images(&w, &pixels, 64, running, None);
    assert!(evaluated.batch_stats.is_empty());
    // The variances are the unbiased ones of at least 64 values, hence not quite the same.
    close(
        &values(&batch.embeddings),
        &values(&evaluated.embeddings),
        0.02,
    );
    let alone = clip.embed_images(&w, &pixels[..64 * 64 * 3], 1, running, None);
    close(
        &values(&alone.embeddings),
        &values(&evaluated.embeddings)[..8],
        1e-5,
    );
}

#[test]
fn with_patch_dropout_only_the_kept_patches_of_a_picture_matter() {
    let clip = testing::small_vit_dropping(0.5);
    let flat = noisy(&clip);
    let w = clip.weights(&flat, &Device::flex());
    let draws = PatchDraws {
        seed: 1,
        pictures: &[10, 20, 30, 40],
    };
    let embed = |pixels: &[u8]| {
        let images = clip.embed_images(&w, pixels, 4, BatchNorm::Batch, Some(draws));
        values(&images.embeddings)
    };
    let pixels = pictures(&clip, 4);
    let expected = embed(&pixels);
    let all = clip.embed_images(&w, &pixels, 4, BatchNorm::Batch, None);
    assert_ne!(values(&all.embeddings), expected);
    // A pixel of each of the 4 patches of side 4 of the first picture: 2 patches are kept.
    let matters = [0, 4, 32, 36].map(|place: usize| {
        let mut changed = pixels.clone();
        changed[3 * place] ^= 0x80;
        let found = embed(&changed);
        assert_eq!(found[8..], expected[8..]);
        found[..8] != expected[..8]
    });
    assert_eq!(matters.iter().filter(|matters| **matters).count(), 2);
}
