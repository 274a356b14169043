use super::*;
use burn::tensor::Device;

/// The naive N x N form in f64: loss, dL/dx, dL/dy, dL/d(logit scale).
fn naive(x: &[f32], y: &[f32], e: usize, s: f64, same: &[u64]) -> (f64, Vec<f64>, Vec<f64>, f64) {
    let n = x.len() / e;
    let row = |t: &[f32], i: usize| {
        t[i * e..][..e]
            .iter()
            .map(|v| f64::from(*v))
            .collect::<Vec<_>>()
    };
    let dot =
        |i: usize, j: usize| -> f64 { row(x, i).iter().zip(row(y, j)).map(|(a, b)| a * b).sum() };
    let weight = |i: usize, j: usize| match i != j && same[i] == same[j] {
        true => 0.0,
        false => (s * dot(i, j)).exp(),
    };
    let image: Vec<f64> = (0..n)
        .map(|i| (0..n).map(|j| weight(i, j)).sum::<f64>())
        .collect();
    let text: Vec<f64> = (0..n)
        .map(|j| (0..n).map(|i| weight(i, j)).sum::<f64>())
        .collect();
    let mut loss = 0.0;
    let (mut dx, mut dy, mut ds) = (vec![0.0; n * e], vec![0.0; n * e], 0.0);
    for i in 0..n {
        loss += (image[i].ln() + text[i].ln() - 2.0 * s * dot(i, i)) / (2.0 * n as f64);
        for j in 0..n {
            let p = weight(i, j) / image[i] + weight(i, j) / text[j]
                - 2.0 * f64::from(u8::from(i == j));
            for k in 0..e {
                dx[i * e + k] += s * p * row(y, j)[k] / (2.0 * n as f64);
                dy[j * e + k] += s * p * row(x, i)[k] / (2.0 * n as f64);
            }
            ds += p * dot(i, j) / (2.0 * n as f64);
        }
    }
    (loss, dx, dy, ds * s)
}

fn unit_rows(n: usize, e: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let mut rows: Vec<f32> = (0..n * e).map(|_| next()).collect();
    for row in rows.chunks_mut(e) {
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut().for_each(|v| *v /= norm);
    }
    rows
}

/// All ranks' gradients, as the collectives put them together.
#[derive(Default)]
struct Whole {
    image: Vec<f32>,
    text: Vec<f32>,
    logit_scale: f64,
    logit_bias: f64,
}

impl Whole {
    fn of(ranks: impl Iterator<Item = LossGradients>) -> Self {
        let mut whole = Self::default();
        for own in ranks {
            whole.image.extend(to_vec(own.image));
            whole.text.extend(to_vec(own.text));
            whole.logit_scale += number(&own.logit_scale);
            whole.logit_bias += own.logit_bias.as_ref().map_or(0.0, number);
        }
        whole
    }
}

/// A sum over rows, which is the same wherever it is summed.
fn number(sum: &RowSum) -> f64 {
    let (host, device) = (sum.on_host(), to_vec(sum.on_device())[0]);
    assert!(
        (host - device).abs() < 1e-5 * host.abs().max(1e-3),
        "{host} {device}"
    );
    f64::from(host)
}

/// Every rank's part by the production path, put together as the collectives do.
fn by_ranks(
    x: &[f32],
    y: &[f32],
    e: usize,
    scale: f32,
    tile: usize,
    cuts: &[usize],
    ids: &[u64],
) -> (f64, Whole) {
    let n = x.len() / e;
    let device = Device::flex();
    let matrix = |t: &[f32]| Tensor::<2>::from_data(TensorData::new(t.to_vec(), [n, e]), &device);
    let duplicates = Duplicates::find(ids);
    let batches: Vec<ContrastiveBatch<'_>> = cuts
        .windows(2)
        .map(|cut| ContrastiveBatch {
            x_ne: matrix(x),
            y_ne: matrix(y),
            own: cut[0]..cut[1],
            scale,
            tile,
            duplicates: &duplicates,
        })
        .collect();
    let own: Vec<LogSumExps> = batches.iter().map(|b| b.log_sum_exps()).collect();
    let all = LogSumExps {
        image: Tensor::cat(own.iter().map(|own| own.image.clone()).collect(), 0),
        text: Tensor::cat(own.iter().map(|own| own.text.clone()).collect(), 0),
    };
    let terms = batches[0].loss_terms(&all);
    let loss = terms.loss(&to_vec(terms.terms.clone()));
    (
        loss,
        Whole::of(batches.iter().map(|batch| batch.gradients(&all))),
    )
}

fn assert_close(ours: &[f32], reference: &[f64]) {
    let scale = reference
        .iter()
        .fold(0.0_f64, |m, v| m.max(v.abs()))
        .max(1e-9);
    for (ours, reference) in ours.iter().zip(reference) {
        assert!(
            (f64::from(*ours) - reference).abs() < 2e-5 * scale,
            "{ours} {reference}"
        );
    }
}

#[test]
fn any_cut_into_ranks_and_tiles_gives_the_full_batch_loss_and_gradient() {
    let (n, e) = (23, 12);
    let (x, y) = (unit_rows(n, e, 1), unit_rows(n, e, 2));
    let ids: Vec<u64> = (0..n as u64).collect();
    for scale in [1.0, 14.3, 100.0] {
        let (loss, dx, dy, ds) = naive(&x, &y, e, f64::from(scale), &ids);
        for cuts in [
            vec![0, 23],
            vec![0, 12, 23],
            vec![0, 1, 9, 23],
            vec![0, 8, 16, 20, 23],
        ] {
            for tile in [1, 5, 64] {
                let (ours, gradients) = by_ranks(&x, &y, e, scale, tile, &cuts, &ids);
                assert!((ours - loss).abs() < 1e-5 * loss.max(1.0), "{ours} {loss}");
                assert_close(&gradients.image, &dx);
                assert_close(&gradients.text, &dy);
                assert!((gradients.logit_scale - ds).abs() < 1e-4 * ds.abs().max(0.1));
            }
        }
    }
}

#[test]
fn a_sample_that_stands_twice_is_no_negative_of_itself() {
    let (n, e) = (9, 6);
    let (mut x, mut y) = (unit_rows(n, e, 3), unit_rows(n, e, 4));
    x.copy_within(0..e, 7 * e);
    y.copy_within(0..e, 7 * e);
    let mut ids: Vec<u64> = (0..n as u64).collect();
    ids[7] = ids[0];
    let (loss, dx, dy, ds) = naive(&x, &y, e, 20.0, &ids);
    let (ours, gradients) = by_ranks(&x, &y, e, 20.0, 4, &[0, 4, 9], &ids);
    assert!((ours - loss).abs() < 1e-5);
    assert_close(&gradients.image, &dx);
    assert_close(&gradients.text, &dy);
    assert!((gradients.logit_scale - ds).abs() < 1e-4);
}

/// The naive form of the sigmoid loss in f64: loss, dL/dx, dL/dy, dL/d(logit scale), dL/d(bias).
fn naive_sigmoid(
    x: &[f32],
    y: &[f32],
    e: usize,
    (s, b): (f64, f64),
    same: &[u64],
) -> (f64, Vec<f64>, Vec<f64>, f64, f64) {
    let n = x.len() / e;
    let at = |t: &[f32], i: usize, k: usize| f64::from(t[i * e + k]);
    let (mut loss, mut ds, mut db) = (0.0, 0.0, 0.0);
    let (mut dx, mut dy) = (vec![0.0; n * e], vec![0.0; n * e]);
    for i in 0..n {
        for j in (0..n).filter(|j| i == *j || same[i] != same[*j]) {
            let dot: f64 = (0..e).map(|k| at(x, i, k) * at(y, j, k)).sum();
            let z = if i == j { 1.0 } else { -1.0 };
            let logit = s * dot + b;
            loss += (1.0 + (-z * logit).exp()).ln() / n as f64;
            let p = -z / (1.0 + (z * logit).exp()) / n as f64;
            for k in 0..e {
                dx[i * e + k] += s * p * at(y, j, k);
                dy[j * e + k] += s * p * at(x, i, k);
            }
            ds += s * p * dot;
            db += p;
        }
    }
    (loss, dx, dy, ds, db)
}

#[test]
fn the_sigmoid_loss_and_its_gradient_are_exact_for_any_cut_and_tile() {
    let (n, e) = (13, 8);
    let (x, y) = (unit_rows(n, e, 5), unit_rows(n, e, 6));
    let mut ids: Vec<u64> = (0..n as u64).collect();
    ids[11] = ids[2];
    let duplicates = Duplicates::find(&ids);
    let matrix = |t: &[f32]| {
        let data = TensorData::new(t.to_vec(), [n, e]);
        Tensor::<2>::from_data(data, &Device::flex())
    };
    for (scale, bias) in [(10.0, -10.0), (1.0, 0.5), (100.0, -3.0)] {
        let exact = (f64::from(scale), f64::from(bias));
        let (loss, dx, dy, ds, db) = naive_sigmoid(&x, &y, e, exact, &ids);
        for (cuts, tile) in [
            (vec![0, 13], 64),
            (vec![0, 4, 13], 3),
            (vec![0, 1, 7, 13], 5),
        ] {
            let (mut losses, mut gradients) = (vec![], vec![]);
            for cut in cuts.windows(2) {
                let batch = ContrastiveBatch {
                    x_ne: matrix(&x),
                    y_ne: matrix(&y),
                    own: cut[0]..cut[1],
                    scale,
                    tile,
                    duplicates: &duplicates,
                };
                losses.push(batch.sigmoid_losses(bias));
                gradients.push(batch.sigmoid_gradients(bias));
            }
            let terms = LossTerms::mean(Tensor::cat(losses, 0));
            let ours = terms.loss(&to_vec(terms.terms.clone()));
            let whole = Whole::of(gradients.into_iter());
            let (own_ds, own_db) = (whole.logit_scale, whole.logit_bias);
            assert!((ours - loss).abs() < 1e-5 * loss.max(1.0), "{ours} {loss}");
            assert_close(&whole.image, &dx);
            assert_close(&whole.text, &dy);
            assert!(
                (own_ds - ds).abs() < 1e-4 * ds.abs().max(0.1),
                "{own_ds} {ds}"
            );
            assert!(
                (own_db - db).abs() < 1e-4 * db.abs().max(0.1),
                "{own_db} {db}"
            );
        }
    }
}
