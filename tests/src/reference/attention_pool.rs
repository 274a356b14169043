//! ModifiedResNet's attention pooling: one query, the mean of all places, over
//! that mean and every place.

use super::layers::named::{linear_at, linear_at_backward};
use super::layers::{attention, attention_backward};
use super::params::Params;
use super::tensor::{Tensor, add_scaled, add_to};

/// What the backward of the pooling needs.
pub struct PoolTrace {
    /// Height and width of what was pooled.
    side: [usize; 2],
    /// The mean first, positions added, `[n, 1 + h·w, c]`.
    tokens: Tensor,
    /// The first token of each sample, `[n, 1, c]`.
    first: Tensor,
    qkv: [Tensor; 3],
    /// `[n, 1, c]`.
    attended: Tensor,
}

const POSITIONS: &str = "visual.attnpool.positional_embedding";

/// Pools x `[n, c, h, w]` to `[n, e]`.
#[must_use]
pub fn forward(params: &Params, heads: usize, x: &Tensor) -> (Tensor, PoolTrace) {
    let [n, c, height, width] = x.dims();
    let tokens = tokens_of(params, x);
    let t = height * width + 1;
    let mut first = Tensor::zeros(&[n, 1, c]);
    for i in 0..n {
        first.row_mut(i).copy_from_slice(tokens.row(i * t));
    }
    let q = linear_at(params, "visual.attnpool.q_proj.", &first);
    let k = linear_at(params, "visual.attnpool.k_proj.", &tokens);
    let v = linear_at(params, "visual.attnpool.v_proj.", &tokens);
    let attended = attention(&q, &k, &v, heads, false);
    let y = linear_at(params, "visual.attnpool.c_proj.", &attended);
    let embed_dim = y.width();
    let trace = PoolTrace {
        side: [height, width],
        tokens,
        first,
        qkv: [q, k, v],
        attended,
    };
    (y.reshaped(&[n, embed_dim]), trace)
}

/// Adds the parameters' gradients of [`forward`] and returns that of x.
pub fn backward(
    params: &Params,
    grads: &mut Params,
    heads: usize,
    trace: &PoolTrace,
    dy: &Tensor,
) -> Tensor {
    let [n, t, _] = trace.tokens.dims();
    let dy = dy.clone().reshaped(&[n, 1, dy.width()]);
    let mut back = |name: &str, x: &Tensor, dy: &Tensor| {
        linear_at_backward(params, grads, &format!("visual.attnpool.{name}."), x, dy)
    };
    let d_attended = back("c_proj", &trace.attended, &dy);
    let grad = attention_backward(trace.qkv.each_ref(), heads, false, &d_attended);
    let d_first = back("q_proj", &trace.first, &grad.q);
    let mut d_tokens = back("k_proj", &trace.tokens, &grad.k);
    d_tokens.add(&back("v_proj", &trace.tokens, &grad.v));
    for i in 0..n {
        add_to(d_tokens.row_mut(i * t), d_first.row(i));
    }
    tokens_backward(grads, &d_tokens, trace.side)
}

/// Places of x `[n, c, h, w]` as tokens `[n, 1 + h·w, c]`, their mean before them,
/// all with their positions added.
fn tokens_of(params: &Params, x: &Tensor) -> Tensor {
    let [n, channels, height, width] = x.dims();
    let (places, t) = (height * width, height * width + 1);
    let mut tokens = Tensor::zeros(&[n, t, channels]);
    for i in 0..n {
        for place in 0..places {
            for c in 0..channels {
                let value = x.data[(i * channels + c) * places + place];
                tokens.row_mut(i * t + 1 + place)[c] = value;
                tokens.row_mut(i * t)[c] += value / places as f64;
            }
        }
        for token in 0..t {
            add_to(
                tokens.row_mut(i * t + token),
                params.get(POSITIONS).row(token),
            );
        }
    }
    tokens
}

/// Adds the gradient of the positions and returns that of x.
fn tokens_backward(grads: &mut Params, d_tokens: &Tensor, side: [usize; 2]) -> Tensor {
    let [n, t, channels] = d_tokens.dims();
    let [height, width] = side;
    let places = height * width;
    let mut dx = Tensor::zeros(&[n, channels, height, width]);
    for i in 0..n {
        for token in 0..t {
            let positions = grads.get_mut(POSITIONS);
            add_to(positions.row_mut(token), d_tokens.row(i * t + token));
        }
        for place in 0..places {
            let mut d = d_tokens.row(i * t + 1 + place).to_vec();
            add_scaled(&mut d, 1.0 / places as f64, d_tokens.row(i * t));
            for c in 0..channels {
                dx.data[(i * channels + c) * places + place] = d[c];
            }
        }
    }
    dx
}

#[cfg(test)]
mod tests {
    use super::{backward, forward};
    use crate::random::Rng;
    use crate::reference::finite::{assert_gradient, assert_param_gradients};
    use crate::reference::params::Params;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn attention_pooling_gradients_agree_with_finite_differences() {
        let mut rng = Rng::new(14);
        let mut params = Params::new();
        for (name, shape) in [
            ("positional_embedding", vec![7, 4]),
            ("q_proj.weight", vec![4, 4]),
            ("q_proj.bias", vec![4]),
            ("k_proj.weight", vec![4, 4]),
            ("v_proj.weight", vec![4, 4]),
            ("v_proj.bias", vec![4]),
            ("c_proj.weight", vec![3, 4]),
            ("c_proj.bias", vec![3]),
        ] {
            let tensor = Tensor::random(&shape, 0.7, &mut rng);
            params.insert(format!("visual.attnpool.{name}"), tensor);
        }
        // A softmax ignores the keys' bias: its gradient is zero but for rounding.
        let k_bias = "visual.attnpool.k_proj.bias";
        let with_bias = |params: &Params| {
            let mut all = params.clone();
            all.insert(k_bias, Tensor::new(&[4], vec![0.3; 4]));
            all
        };
        let x = Tensor::random(&[2, 4, 2, 3], 1.0, &mut rng);
        let dy = Tensor::random(&[2, 3], 1.0, &mut rng);
        let value = |params: &Params, x: &Tensor| {
            let (y, _) = forward(&with_bias(params), 2, x);
            dot(&y.data, &dy.data)
        };
        let all = with_bias(&params);
        let mut grads = all.zeros_like();
        let (y, trace) = forward(&all, 2, &x);
        assert_eq!(y.shape, [2, 3]);
        let dx = backward(&all, &mut grads, 2, &trace, &dy);
        assert_gradient("x", &x, &dx, |x| value(&params, x));
        assert!(grads.get(k_bias).norm() < 1e-14);
        let others = params
            .iter()
            .map(|(name, _)| (name.to_owned(), grads.get(name).clone()))
            .collect();
        assert_param_gradients(&params, &others, |params| value(params, &x));
    }
}
