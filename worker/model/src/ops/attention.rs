//! Multi-head self-attention, from projected queries, keys and values to the heads' joined outputs.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::exact::ExactProduct;
use super::glue::{Output, Values, map_blocks, record};
use super::product::{Matrix, product, product_over};
use super::simd::{LANES, dot, exp, fold, multiversion};

/// Softmax attention in each head over `qkv` [B, T, 3w], which holds queries, keys and values side by
/// side as `in_proj` gives them; returns [B, T, w]. Scores are scaled by `(w / heads)^-1/2`; `causal`
/// hides position j from position i where j > i.
///
/// Only `qkv` is saved: the backward computes the probabilities again.
pub fn attention(qkv: Tensor<3>, heads: usize, causal: bool) -> Tensor<3> {
    let [_, _, joined] = qkv.dims();
    assert!(
        heads > 0 && joined % (3 * heads) == 0,
        "attention: {joined} columns are not queries, keys and values of {heads} equal heads"
    );
    Tensor::from_dispatch(<Dispatch as Attention>::fused_attention(
        qkv.into_dispatch(),
        heads,
        causal,
    ))
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait Attention: Backend + ExactProduct {
    #[fusion(default)]
    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self> {
        composed::attention::<Self>(qkv, heads, causal)
    }
}

pub(super) trait AttentionBackward: Attention {
    /// The gradient of qkv, given the output's.
    fn attention_backward(
        qkv: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        heads: usize,
        causal: bool,
    ) -> FloatTensor<Self> {
        composed::attention_backward::<Self>(qkv, grad, heads, causal)
    }
}

/// The sizes of one sample.
#[derive(Clone, Copy)]
struct Sizes {
    length: usize,
    width: usize,
    heads: usize,
    /// Length of a row of scores: whole registers, zero past `length`.
    padded: usize,
    causal: bool,
}

impl Sizes {
    fn new(length: usize, width: usize, heads: usize, causal: bool) -> Self {
        Self {
            length,
            width,
            heads,
            padded: length.next_multiple_of(LANES),
            causal,
        }
    }

    fn head_width(&self) -> usize {
        self.width / self.heads
    }

    fn scale(&self) -> f32 {
        (self.head_width() as f32).sqrt().recip()
    }

    fn scores(&self) -> Vec<f32> {
        vec![0.0; self.length * self.padded]
    }

    /// A head's queries (part 0), keys (1) or values (2) in a sample, [T, head width].
    fn part<'a>(&self, sample: &'a [f32], head: usize, part: usize) -> Matrix<'a> {
        let first = part * self.width + head * self.head_width();
        Matrix::rows(
            &sample[first..],
            self.length,
            self.head_width(),
            3 * self.width,
        )
    }

    fn square<'a>(&self, scores: &'a [f32]) -> Matrix<'a> {
        Matrix::rows(scores, self.length, self.length, self.padded)
    }

    /// Fills `scores` [T, padded] with a head's attention probabilities.
    fn probabilities(&self, sample: &[f32], head: usize, scores: &mut [f32]) {
        let [q, k] = [0, 1].map(|part| self.part(sample, head, part));
        product_over(scores, self.padded, false, q, k.transposed(), self.scale());
        softmax(scores, self.padded, self.length, self.causal);
    }
}

impl Attention for Flex {
    fn fused_attention(qkv: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let qkv = Values::of(qkv);
        let [batch, length, joined] = qkv.dims();
        let sizes = Sizes::new(length, joined / 3, heads, causal);
        let (width, block) = (sizes.width, length * sizes.width);
        let mut out = Output::new([batch, length, width]);
        map_blocks(out.slots(), block, |i, out| {
            let sample = &qkv[i * 3 * block..][..3 * block];
            let mut scores = sizes.scores();
            for head in 0..heads {
                sizes.probabilities(sample, head, &mut scores);
                let (p, v) = (sizes.square(&scores), sizes.part(sample, head, 2));
                product(&mut out[head * sizes.head_width()..], width, p, v, 1.0);
            }
        });
        // SAFETY: the blocks cover the output, and the heads' columns cover a block.
        unsafe { out.into_tensor() }
    }
}

impl AttentionBackward for Flex {
    fn attention_backward(
        qkv: FlexTensor,
        grad: FlexTensor,
        heads: usize,
        causal: bool,
    ) -> FlexTensor {
        let [qkv, grad] = [qkv, grad].map(Values::of);
        let [batch, length, joined] = qkv.dims();
        let sizes = Sizes::new(length, joined / 3, heads, causal);
        let (width, stride, block) = (sizes.width, joined, length * joined);
        let mut dqkv = Output::new([batch, length, joined]);
        map_blocks(dqkv.slots(), block, |i, out| {
            let sample = &qkv[i * block..][..block];
            let grad = &grad[i * length * width..][..length * width];
            let (mut scores, mut dscores) = (sizes.scores(), sizes.scores());
            for head in 0..heads {
                let first = head * sizes.head_width();
                let g = Matrix::rows(&grad[first..], length, sizes.head_width(), width);
                let [q, k, v] = [0, 1, 2].map(|part| sizes.part(sample, head, part));
                sizes.probabilities(sample, head, &mut scores);
                let p = sizes.square(&scores);
                product(
                    &mut out[first + 2 * width..],
                    stride,
                    p.transposed(),
                    g,
                    1.0,
                );
                product_over(&mut dscores, sizes.padded, false, g, v.transposed(), 1.0);
                softmax_backward(&scores, &mut dscores, sizes.padded);
                let ds = sizes.square(&dscores);
                product(&mut out[first..], stride, ds, k, sizes.scale());
                product(
                    &mut out[first + width..],
                    stride,
                    ds.transposed(),
                    q,
                    sizes.scale(),
                );
            }
        });
        // SAFETY: the blocks cover the output, and the heads' columns of the three parts cover a block.
        unsafe { dqkv.into_tensor() }
    }
}

multiversion! {
    /// Turns each row of scores into probabilities; what lies past the row's reach becomes zero.
    fn softmax<const FMA: bool>(scores: &mut [f32], padded: usize, length: usize, causal: bool) {
        for (i, row) in scores.chunks_exact_mut(padded).enumerate() {
            let reach = if causal { i + 1 } else { length };
            let (row, hidden) = row.split_at_mut(reach.next_multiple_of(LANES));
            hidden.fill(0.0);
            row[reach..].fill(f32::NEG_INFINITY);
            let (chunks, _) = row.as_chunks_mut::<LANES>();
            let mut lanes = [f32::NEG_INFINITY; LANES];
            for chunk in chunks.iter() {
                for (lane, &v) in lanes.iter_mut().zip(chunk) {
                    *lane = if v > *lane { v } else { *lane };
                }
            }
            let highest = fold(lanes, |a, b| if a > b { a } else { b });
            let mut lanes = [0.0; LANES];
            for chunk in chunks.iter_mut() {
                for (lane, v) in lanes.iter_mut().zip(chunk) {
                    *v = exp::<FMA>(*v - highest);
                    *lane += *v;
                }
            }
            let inverse = 1.0 / fold(lanes, |a, b| a + b);
            row.iter_mut().for_each(|v| *v *= inverse);
        }
    }
}

multiversion! {
    /// Turns the gradients of probabilities into those of scores: p (dp - p . dp) in each row.
    fn softmax_backward<const FMA: bool>(p: &[f32], dp: &mut [f32], padded: usize) {
        for (p, dp) in p.chunks_exact(padded).zip(dp.chunks_exact_mut(padded)) {
            let mean = dot::<FMA>(p, dp);
            for (dp, &p) in dp.iter_mut().zip(p) {
                *dp = p * (*dp - mean);
            }
        }
    }
}

#[derive(Debug)]
struct Step;

impl<B: AttentionBackward> Backward<B, 1> for Step {
    type State = (FloatTensor<B>, usize, bool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (qkv, heads, causal) = ops.state;
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::attention_backward(qkv, grad, heads, causal));
        }
    }
}

impl<B: AttentionBackward, C: CheckpointStrategy> Attention for Autodiff<B, C> {
    fn fused_attention(qkv: FloatTensor<Self>, heads: usize, causal: bool) -> FloatTensor<Self> {
        let (qkv, node) = qkv.into_parts();
        let out = B::fused_attention(qkv.clone(), heads, causal);
        record::<C, _, _, _>(Step, [node], out, || (qkv, heads, causal))
    }
}
