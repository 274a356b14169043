//! What every operation shares: reading and making tensors, blocks of work, the autodiff graph.

use std::mem::MaybeUninit;
use std::ops::{Deref, Range};

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use rayon::prelude::*;

/// Elements of one block: small enough to stay in a core's cache, large enough to hide a hand-over.
const BLOCK: usize = 16 * 1024;

/// A slot of an output that has not been written yet.
pub(super) type Slot = MaybeUninit<f32>;

/// Rows of `width` elements that make one block.
pub(super) fn block_rows(width: usize) -> usize {
    (BLOCK / width.max(1)).max(1)
}

/// An input's elements in row-major order; a copy is made only when the tensor is strided.
pub(super) struct Values(FlexTensor);

impl Values {
    pub(super) fn of(tensor: FlexTensor) -> Self {
        assert_eq!(
            tensor.dtype(),
            DType::F32,
            "the fused operations take f32 tensors"
        );
        match tensor.layout().contiguous_offsets() {
            Some(_) => Self(tensor),
            None => Self(tensor.to_contiguous()),
        }
    }

    pub(super) fn shape(&self) -> Shape {
        self.0.layout().shape().clone()
    }

    pub(super) fn dims<const D: usize>(&self) -> [usize; D] {
        self.shape().dims()
    }
}

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0
            .as_slice()
            .expect("a contiguous f32 tensor, as checked when it was taken")
    }
}

/// An output whose elements are written before anything reads them.
pub(super) struct Output {
    values: Vec<f32>,
    len: usize,
    shape: Shape,
}

impl Output {
    pub(super) fn new(shape: impl Into<Shape>) -> Self {
        let shape = shape.into();
        let len = shape.num_elements();
        Self {
            values: Vec::with_capacity(len),
            len,
            shape,
        }
    }

    pub(super) fn slots(&mut self) -> &mut [Slot] {
        &mut self.values.spare_capacity_mut()[..self.len]
    }

    /// # Safety
    ///
    /// Every slot has been written.
    pub(super) unsafe fn into_tensor(self) -> FlexTensor {
        let shape = self.shape.clone();
        // SAFETY: the caller's promise is the same.
        tensor(unsafe { self.into_values() }, shape)
    }

    /// # Safety
    ///
    /// Every slot has been written.
    pub(super) unsafe fn into_values(mut self) -> Vec<f32> {
        // SAFETY: the capacity is at least `len`, and the caller wrote every slot.
        unsafe { self.values.set_len(self.len) };
        self.values
    }
}

/// A row-major tensor that takes over `values`.
pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::new(
        Bytes::from_elems(values),
        Layout::contiguous(shape.into()),
        DType::F32,
    )
}

/// Runs `work` on blocks of `block` elements of `out`, each with its number, and returns the results
/// in the order of the blocks.
///
/// With one thread the caller works: handing over to a pool of one costs more than small blocks.
pub(super) fn map_blocks<T: Send, R: Send>(
    out: &mut [T],
    block: usize,
    work: impl Fn(usize, &mut [T]) -> R + Sync,
) -> Vec<R> {
    let block = block.max(1);
    if out.len() <= block || rayon::current_num_threads() == 1 {
        out.chunks_mut(block)
            .enumerate()
            .map(|(i, o)| work(i, o))
            .collect()
    } else {
        out.par_chunks_mut(block)
            .enumerate()
            .map(|(i, o)| work(i, o))
            .collect()
    }
}

/// Runs `work` on ranges of `block` of `count` things and returns the results in order.
pub(super) fn map_ranges<R: Send>(
    count: usize,
    block: usize,
    work: impl Fn(Range<usize>) -> R + Sync,
) -> Vec<R> {
    let block = block.max(1);
    let range = |i: usize| i * block..((i + 1) * block).min(count);
    let blocks = count.div_ceil(block);
    if blocks <= 1 || rayon::current_num_threads() == 1 {
        (0..blocks).map(|i| work(range(i))).collect()
    } else {
        (0..blocks)
            .into_par_iter()
            .map(|i| work(range(i)))
            .collect()
    }
}

/// The sum of the blocks' vectors, in the order of the blocks and in f64.
pub(super) fn sum_in_order<T: Copy + Into<f64>>(parts: Vec<Vec<T>>, width: usize) -> Vec<f32> {
    let sum = parts.into_iter().fold(vec![0.0; width], |mut sum, part| {
        sum.iter_mut()
            .zip(&part)
            .for_each(|(s, p)| *s += (*p).into());
        sum
    });
    sum.into_iter().map(|s| s as f32).collect()
}

/// Puts an operation with its saved `state` on the graph if a parent is tracked.
pub(super) fn record<C, O, B, const N: usize>(
    operation: O,
    nodes: [NodeGuard; N],
    output: FloatTensor<B>,
    state: impl FnOnce() -> O::State,
) -> FloatTensor<Autodiff<B, C>>
where
    C: CheckpointStrategy,
    O: Backward<B, N>,
    B: Backend,
{
    match operation.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(prep) => prep.finish(state(), output),
        OpsKind::UnTracked(prep) => prep.finish(output),
    }
}
