//! Pillow's resampling to the bit: horizontal before vertical, with weights in fixed point and
//! eight bits between the two. Only what a crop keeps is computed.

use std::ops::Range;

/// Bits behind the point of a weight.
const PRECISION: u32 = 32 - 8 - 2;
/// One half at that precision.
const HALF: i32 = 1 << (PRECISION - 1);
/// Reach of the cubic filter in pixels of the smaller picture.
const SUPPORT: f64 = 2.0;

/// One direction of a resize: `whole` pixels become `resized`, of which `kept` from `start` on are
/// wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) whole: usize,
    pub(super) resized: usize,
    pub(super) start: usize,
    pub(super) kept: usize,
}

/// The part of the input that one output pixel is made of, with its weights.
struct Window<W> {
    first: usize,
    weights: Vec<W>,
}

impl<W> Window<W> {
    const fn end(&self) -> usize {
        self.first + self.weights.len()
    }
}

impl Axis {
    /// Whether pixels stay as they are.
    pub(super) const fn is_identity(&self) -> bool {
        self.whole == self.resized
    }

    fn windows(&self) -> Vec<Window<f64>> {
        let scale = self.whole as f64 / self.resized as f64;
        let stretch = scale.max(1.0);
        let reach = SUPPORT * stretch;
        let window = |out: usize| {
            if self.is_identity() {
                return Window {
                    first: out,
                    weights: vec![1.0],
                };
            }
            let centre = (out as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(self.whole);
            let weight = |at: usize| cubic((at as f64 - centre + 0.5) / stretch);
            let mut weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            weights.iter_mut().for_each(|weight| *weight /= sum);
            Window { first, weights }
        };
        (self.start..self.start + self.kept).map(window).collect()
    }

    fn fixed_windows(&self) -> Vec<Window<i32>> {
        let fixed = |weight: &f64| (weight * f64::from(1 << PRECISION)).round() as i32;
        let windows = self.windows().into_iter();
        let windows = windows.map(|window| Window {
            first: window.first,
            weights: window.weights.iter().map(fixed).collect(),
        });
        windows.collect()
    }

    /// The input pixel that each output pixel is, where none are mixed. Pillow adds up the
    /// positions, and its rounding decides on ties; where that would take long, nobody can tell.
    fn nearest(&self) -> Vec<usize> {
        const LONG: usize = 1 << 20;
        let scale = self.whole as f64 / self.resized as f64;
        let from = if self.start < LONG { 0 } else { self.start };
        let mut position = (from as f64 + 0.5) * scale;
        let mut all = Vec::with_capacity(self.start + self.kept - from);
        for _ in from..self.start + self.kept {
            all.push((position as usize).min(self.whole - 1));
            position += scale;
        }
        all.split_off(self.start - from)
    }
}

/// The cubic with a = -0.5 that Pillow calls BICUBIC.
fn cubic(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5,
        _ => 0.0,
    }
}

/// Resizes `[height, width, N]`, giving `[kept height, kept width, N]`.
pub(super) fn bicubic<const N: usize>(pixels: &[u8], across: Axis, down: Axis) -> Vec<u8> {
    let (columns, rows) = (across.fixed_windows(), down.fixed_windows());
    let used = used(&rows);
    let mut narrowed = Vec::with_capacity(used.len() * columns.len() * N);
    let input = pixels.as_chunks::<N>().0.chunks(across.whole);
    for row in input.skip(used.start).take(used.len()) {
        for window in &columns {
            let mut sums = [HALF; N];
            for (pixel, weight) in row[window.first..].iter().zip(&window.weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            narrowed.extend(sums.map(rounded));
        }
    }
    let mut out = Vec::with_capacity(rows.len() * columns.len() * N);
    let mut sums = vec![0; columns.len() * N];
    for window in &rows {
        sums.fill(HALF);
        let input = narrowed.chunks(columns.len() * N);
        for (row, weight) in input.skip(window.first - used.start).zip(&window.weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        out.extend(sums.iter().map(|sum| rounded(*sum)));
    }
    out
}

/// The same for `[height, width]` of 16 bits, where Pillow computes in floating point.
pub(super) fn bicubic_16(pixels: &[u16], across: Axis, down: Axis) -> Vec<u16> {
    let (columns, rows) = (across.windows(), down.windows());
    let mix = |values: &mut dyn Iterator<Item = u16>, weights: &[f64]| {
        let products = values
            .zip(weights)
            .map(|(value, weight)| f64::from(value) * weight);
        (products.sum::<f64>() + 0.5)
            .floor()
            .clamp(0.0, f64::from(u16::MAX)) as u16
    };
    let used = used(&rows);
    let mut narrowed = Vec::with_capacity(used.len() * columns.len());
    for row in pixels
        .chunks(across.whole)
        .skip(used.start)
        .take(used.len())
    {
        for window in &columns {
            let values = &mut row[window.first..].iter().copied();
            narrowed.push(mix(values, &window.weights));
        }
    }
    let mut out = Vec::with_capacity(rows.len() * columns.len());
    for window in &rows {
        let first = (window.first - used.start) * columns.len();
        for column in 0..columns.len() {
            let values = narrowed[first + column..].iter().step_by(columns.len());
            out.push(mix(&mut values.copied(), &window.weights));
        }
    }
    out
}

/// The rows of the input that some window reaches.
fn used<W>(rows: &[Window<W>]) -> Range<usize> {
    let first = rows.first().map_or(0, |window| window.first);
    let end = rows.iter().map(Window::end).max().unwrap_or(first);
    first..end
}

fn rounded(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resizes `[height, width, 3]` without mixing colours, giving `[kept height, kept width, 3]`.
pub(super) fn nearest(pixels: &[u8], across: Axis, down: Axis) -> Vec<u8> {
    let columns = across.nearest();
    let rows = pixels.chunks(across.whole * 3).collect::<Vec<_>>();
    let mut out = Vec::with_capacity(columns.len() * down.kept * 3);
    for row in down.nearest() {
        let row = rows[row].as_chunks::<3>().0;
        out.extend(columns.iter().flat_map(|column| row[*column]));
    }
    out
}
