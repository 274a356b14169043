//! Scaled dot-product attention over several heads.

use std::ops::Range;

use crate::reference::tensor::{Tensor, add_scaled, dot};

/// Gradients of attention, each of its input's shape.
pub struct AttentionGrad {
    /// Of the queries.
    pub q: Tensor,
    /// Of the keys.
    pub k: Tensor,
    /// Of the values.
    pub v: Tensor,
}

/// Sizes of one attention and where a head's values stand.
#[derive(Clone, Copy)]
struct Layout {
    batch: usize,
    queries: usize,
    keys: usize,
    head_width: usize,
    causal: bool,
}

impl Layout {
    fn new(q: &Tensor, k: &Tensor, heads: usize, causal: bool) -> Self {
        let [batch, queries, width] = q.dims();
        let [k_batch, keys, k_width] = k.dims();
        assert_eq!((batch, width), (k_batch, k_width), "queries and keys");
        assert_eq!(width % heads, 0, "{heads} heads do not divide {width}");
        Self {
            batch,
            queries,
            keys,
            head_width: width / heads,
            causal,
        }
    }

    fn scale(&self) -> f64 {
        (self.head_width as f64).powf(-0.5)
    }

    /// The columns of head `h`.
    fn columns(&self, h: usize) -> Range<usize> {
        h * self.head_width..(h + 1) * self.head_width
    }

    /// The keys that query `i` may look at.
    fn visible(&self, i: usize) -> Range<usize> {
        if self.causal { 0..i + 1 } else { 0..self.keys }
    }

    /// softmax over the visible keys of q·k / sqrt(head width).
    fn weights(&self, q: &Tensor, k: &Tensor, b: usize, h: usize, i: usize) -> Vec<f64> {
        let query = &q.row(b * self.queries + i)[self.columns(h)];
        let scores: Vec<f64> = self
            .visible(i)
            .map(|j| self.scale() * dot(query, &k.row(b * self.keys + j)[self.columns(h)]))
            .collect();
        softmax(&scores)
    }
}

/// exp(s) / Σ exp(s).
fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

/// Attention of q `[b, t, w]` over k and v `[b, u, w]`; `causal` lets query i see
/// the keys 0..=i alone. Returns `[b, t, w]`.
#[must_use]
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> Tensor {
    let layout = Layout::new(q, k, heads, causal);
    let mut out = Tensor::zeros(&q.shape);
    for b in 0..layout.batch {
        for h in 0..heads {
            let columns = layout.columns(h);
            for i in 0..layout.queries {
                let weights = layout.weights(q, k, b, h, i);
                let row = &mut out.row_mut(b * layout.queries + i)[columns.clone()];
                for (j, weight) in weights.iter().enumerate() {
                    let value = &v.row(b * layout.keys + j)[columns.clone()];
                    add_scaled(row, *weight, value);
                }
            }
        }
    }
    out
}

/// Gradients of [`attention`] from `d_out` of its output's shape.
#[must_use]
pub fn attention_backward(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    causal: bool,
    d_out: &Tensor,
) -> AttentionGrad {
    let layout = Layout::new(q, k, heads, causal);
    let mut grad = AttentionGrad {
        q: Tensor::zeros(&q.shape),
        k: Tensor::zeros(&k.shape),
        v: Tensor::zeros(&v.shape),
    };
    for b in 0..layout.batch {
        for h in 0..heads {
            let columns = layout.columns(h);
            for i in 0..layout.queries {
                let query = b * layout.queries + i;
                let weights = layout.weights(q, k, b, h, i);
                let d = &d_out.row(query)[columns.clone()];
                let d_weights: Vec<f64> = (0..weights.len())
                    .map(|j| dot(d, &v.row(b * layout.keys + j)[columns.clone()]))
                    .collect();
                let mean = dot(&weights, &d_weights);
                for j in 0..weights.len() {
                    let key = b * layout.keys + j;
                    let cols = || columns.clone();
                    let d_score = layout.scale() * weights[j] * (d_weights[j] - mean);
                    add_scaled(&mut grad.v.row_mut(key)[cols()], weights[j], d);
                    add_scaled(
                        &mut grad.q.row_mut(query)[cols()],
                        d_score,
                        &k.row(key)[cols()],
                    );
                    add_scaled(
                        &mut grad.k.row_mut(key)[cols()],
                        d_score,
                        &q.row(query)[cols()],
                    );
                }
            }
        }
    }
    grad
}

#[cfg(test)]
mod tests {
    use super::{attention, attention_backward, softmax};
    use crate::random::Rng;
    use crate::reference::finite::assert_gradient;
    use crate::reference::tensor::{Tensor, dot};

    fn check(queries: usize, keys: usize, causal: bool) {
        let mut rng = Rng::new(7);
        let q = Tensor::random(&[2, queries, 6], 1.0, &mut rng);
        let k = Tensor::random(&[2, keys, 6], 1.0, &mut rng);
        let v = Tensor::random(&[2, keys, 6], 1.0, &mut rng);
        let d = Tensor::random(&[2, queries, 6], 1.0, &mut rng);
        let value = |y: Tensor| dot(&y.data, &d.data);
        let grad = attention_backward([&q, &k, &v], 2, causal, &d);
        assert_gradient("q", &q, &grad.q, |q| value(attention(q, &k, &v, 2, causal)));
        assert_gradient("k", &k, &grad.k, |k| value(attention(&q, k, &v, 2, causal)));
        assert_gradient("v", &v, &grad.v, |v| value(attention(&q, &k, v, 2, causal)));
    }

    #[test]
    fn full_attention_gradients_agree_with_finite_differences() {
        check(4, 4, false);
    }

    #[test]
    fn causal_attention_gradients_agree_with_finite_differences() {
        check(4, 4, true);
    }

    #[test]
    fn gradients_agree_with_finite_differences_for_one_query_over_many_keys() {
        check(1, 5, false);
    }

    #[test]
    fn a_softmax_sums_to_one_and_ignores_a_shift() {
        let weights = softmax(&[1.0, -2.0, 0.5]);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        for (a, b) in weights.iter().zip(softmax(&[801.0, 798.0, 800.5])) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn a_causal_query_does_not_see_later_keys() {
        let mut rng = Rng::new(8);
        let [q, k, mut v] = [0; 3].map(|_| Tensor::random(&[1, 3, 4], 1.0, &mut rng));
        let before = attention(&q, &k, &v, 1, true);
        v.row_mut(2).fill(100.0);
        let after = attention(&q, &k, &v, 1, true);
        assert_eq!(before.data[..8], after.data[..8]);
        assert_ne!(before.row(2), after.row(2));
    }
}
