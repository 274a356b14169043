//! Convolutions' patches and pooling over pictures [B, H, W, C].

use burn::backend::Backend;
use burn::backend::tensor::FloatTensor;
use burn::tensor::Slice;
use std::ops::Range;

use super::num::Num;
use crate::ops::avg_pool::Pool;
use crate::ops::im2col::Window;

pub(in crate::ops) fn im2col<B: Backend>(x: FloatTensor<B>, window: Window) -> FloatTensor<B> {
    let x = Num::<B>(x);
    let [batch, ..] = x.dims::<4>();
    let (high, wide) = (window.out_height(), window.out_width());
    let rows = batch * high * wide;
    if window.cuts_squares() {
        let (k, c) = (window.kernel, window.channels);
        let cut = [0..batch, 0..high * k, 0..wide * k, 0..c].map(Slice::from);
        let squares = x.slice(&cut).reshape([batch, high, k, wide, k, c]);
        let squares = squares.permute(&[0, 1, 3, 2, 4, 5]);
        return squares.reshape([rows, window.columns()]).0;
    }
    let padded = padded(x, &window);
    let columns = window.offsets().map(|(y, x)| {
        let places = window.places(batch, y, x);
        padded
            .clone()
            .slice(&places)
            .reshape([rows, window.channels])
    });
    Num::cat(columns.collect(), 1).0
}

pub(in crate::ops) fn im2col_backward<B: Backend>(
    grad: FloatTensor<B>,
    window: Window,
) -> FloatTensor<B> {
    let grad = Num::<B>(grad);
    let (high, wide, c) = (window.out_height(), window.out_width(), window.channels);
    let batch = grad.dims::<2>()[0] / (high * wide);
    let (height, width) = (window.padded_height(), window.padded_width());
    let mut sum = grad.zeros([batch, height, width, c]);
    for (column, (y, x)) in window.offsets().enumerate() {
        let places = window.places(batch, y, x);
        let columns = [Slice::full(), Slice::from(column * c..(column + 1) * c)];
        let part = grad.clone().slice(&columns).reshape([batch, high, wide, c]);
        let so_far = sum.clone().slice(&places);
        sum = Num(B::float_slice_assign(sum.0, &places, (so_far + part).0));
    }
    let inside = [
        0..batch,
        window.padding..window.padding + window.height,
        window.padding..window.padding + window.width,
        0..c,
    ];
    sum.slice(&inside.map(Slice::from)).0
}

/// `x` with the window's zeros around each picture.
fn padded<B: Backend>(x: Num<B>, window: &Window) -> Num<B> {
    if window.padding == 0 {
        return x;
    }
    let [batch, height, width, c] = x.dims();
    let within = |length: usize| Slice::from(window.padding..window.padding + length);
    let zeros = x.zeros([batch, window.padded_height(), window.padded_width(), c]);
    let inside = [Slice::full(), within(height), within(width), Slice::full()];
    Num(B::float_slice_assign(zeros.0, &inside, x.0))
}

impl Window {
    /// Whether the kernel walks over the picture square by square.
    fn cuts_squares(&self) -> bool {
        self.kernel == self.stride && self.padding == 0
    }

    fn padded_height(&self) -> usize {
        self.height + 2 * self.padding
    }

    fn padded_width(&self) -> usize {
        self.width + 2 * self.padding
    }

    /// The kernel's places, line by line.
    fn offsets(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let kernel = self.kernel;
        (0..kernel * kernel).map(move |place| (place / kernel, place % kernel))
    }

    /// What the kernel's place (y, x) sees of the padded pictures, in all its steps.
    fn places(&self, batch: usize, y: usize, x: usize) -> [Slice; 4] {
        let steps = |first: usize, count: usize| -> (Range<usize>, usize) {
            (first..first + (count - 1) * self.stride + 1, self.stride)
        };
        let strided = |(range, step): (Range<usize>, usize)| {
            Slice::new(
                range.start as isize,
                Some(range.end as isize),
                step as isize,
            )
        };
        [
            Slice::from(0..batch),
            strided(steps(y, self.out_height())),
            strided(steps(x, self.out_width())),
            Slice::from(0..self.channels),
        ]
    }
}

pub(in crate::ops) fn avg_pool<B: Backend>(x: FloatTensor<B>, pool: Pool) -> FloatTensor<B> {
    let x = Num::<B>(x);
    let ([batch, ..], dtype) = (x.dims::<4>(), x.dtype());
    let (high, wide, k, c) = (pool.out_height(), pool.out_width(), pool.k, pool.channels);
    let cut = [0..batch, 0..high * k, 0..wide * k, 0..c].map(Slice::from);
    let squares = Num::<B>::wide(x.slice(&cut).0).reshape([batch * high, k, wide, k, c]);
    let means = squares.sum(3).sum(1).times(pool.share());
    means.reshape([batch, high, wide, c]).cast(dtype).0
}

pub(in crate::ops) fn avg_pool_backward<B: Backend>(
    grad: FloatTensor<B>,
    pool: Pool,
) -> FloatTensor<B> {
    let grad = Num::<B>(grad);
    let [batch, high, wide, c] = grad.dims();
    let k = pool.k;
    let share = grad.times(pool.share());
    let spread =
        share.zeros([batch * high, k, wide, k, c]) + share.reshape([batch * high, 1, wide, 1, c]);
    let spread = spread.reshape([batch, high * k, wide * k, c]);
    if (high * k, wide * k) == (pool.height, pool.width) {
        return spread.0;
    }
    let zeros = spread.zeros([batch, pool.height, pool.width, c]);
    let cut = [0..batch, 0..high * k, 0..wide * k, 0..c].map(Slice::from);
    B::float_slice_assign(zeros.0, &cut, spread.0)
}
