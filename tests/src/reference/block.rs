//! The pre-LN Transformer block of both towers:
//! x + attention(ln_1(x)), then + mlp(ln_2(·)).

use super::layers::named::{layer_norm_at, layer_norm_at_backward, linear_at, linear_at_backward};
use super::layers::{Activation, attention, attention_backward};
use super::params::Params;
use super::tensor::Tensor;

/// What all blocks of a tower share.
#[derive(Clone, Copy, Debug)]
pub struct BlockOptions {
    /// Number of attention heads.
    pub heads: usize,
    /// Whether a token sees only itself and those before it.
    pub causal: bool,
    /// The MLP's activation.
    pub activation: Activation,
}

/// What the backward of one block needs; all `[b, t, ..]`.
pub struct BlockTrace {
    x: Tensor,
    normed_1: Tensor,
    qkv: [Tensor; 3],
    attended: Tensor,
    middle: Tensor,
    normed_2: Tensor,
    hidden: Tensor,
    activated: Tensor,
}

/// One block on x `[b, t, w]`; `prefix` is such as `transformer.resblocks.0`.
#[must_use]
pub fn block(
    params: &Params,
    prefix: &str,
    options: BlockOptions,
    x: Tensor,
) -> (Tensor, BlockTrace) {
    let normed_1 = layer_norm_at(params, &format!("{prefix}.ln_1."), &x);
    let joined = linear_at(params, &format!("{prefix}.attn.in_proj_"), &normed_1);
    let qkv = split(&joined);
    let [q, k, v] = &qkv;
    let attended = attention(q, k, v, options.heads, options.causal);
    let middle = linear_at(params, &format!("{prefix}.attn.out_proj."), &attended).plus(&x);
    let normed_2 = layer_norm_at(params, &format!("{prefix}.ln_2."), &middle);
    let hidden = linear_at(params, &format!("{prefix}.mlp.c_fc."), &normed_2);
    let activated = options.activation.apply(&hidden);
    let y = linear_at(params, &format!("{prefix}.mlp.c_proj."), &activated).plus(&middle);
    let trace = BlockTrace {
        x,
        normed_1,
        qkv,
        attended,
        middle,
        normed_2,
        hidden,
        activated,
    };
    (y, trace)
}

/// Adds the parameters' gradients of [`block`] and returns that of x.
pub fn block_backward(
    params: &Params,
    grads: &mut Params,
    prefix: &str,
    options: BlockOptions,
    trace: &BlockTrace,
    dy: &Tensor,
) -> Tensor {
    let at = |part: &str| format!("{prefix}.{part}");
    let t = trace;
    let d_activated = linear_at_backward(params, grads, &at("mlp.c_proj."), &t.activated, dy);
    let d_hidden = options.activation.backward(&t.hidden, &d_activated);
    let d_normed_2 = linear_at_backward(params, grads, &at("mlp.c_fc."), &t.normed_2, &d_hidden);
    let mut d_middle = layer_norm_at_backward(params, grads, &at("ln_2."), &t.middle, &d_normed_2);
    d_middle.add(dy);

    let out_proj = at("attn.out_proj.");
    let d_attended = linear_at_backward(params, grads, &out_proj, &t.attended, &d_middle);
    let (heads, causal) = (options.heads, options.causal);
    let grad = attention_backward(t.qkv.each_ref(), heads, causal, &d_attended);
    let d_joined = join(&[grad.q, grad.k, grad.v]);
    let in_proj = at("attn.in_proj_");
    let d_normed_1 = linear_at_backward(params, grads, &in_proj, &t.normed_1, &d_joined);
    let mut dx = layer_norm_at_backward(params, grads, &at("ln_1."), &t.x, &d_normed_1);
    dx.add(&d_middle);
    dx
}

/// All blocks of a tower on x `[b, t, w]`; `stem` is such as `visual.transformer`.
#[must_use]
pub fn transformer(
    params: &Params,
    stem: &str,
    layers: usize,
    options: BlockOptions,
    x: Tensor,
) -> (Tensor, Vec<BlockTrace>) {
    let mut traces = Vec::new();
    let mut x = x;
    for i in 0..layers {
        let (y, trace) = block(params, &format!("{stem}.resblocks.{i}"), options, x);
        traces.push(trace);
        x = y;
    }
    (x, traces)
}

/// Adds the parameters' gradients of [`transformer`] and returns that of x.
pub fn transformer_backward(
    params: &Params,
    grads: &mut Params,
    stem: &str,
    options: BlockOptions,
    traces: &[BlockTrace],
    dy: Tensor,
) -> Tensor {
    let mut d = dy;
    for (i, trace) in traces.iter().enumerate().rev() {
        let prefix = format!("{stem}.resblocks.{i}");
        d = block_backward(params, grads, &prefix, options, trace, &d);
    }
    d
}

/// `[b, t, 3w]` to queries, keys and values `[b, t, w]`, which stand in this order.
fn split(joined: &Tensor) -> [Tensor; 3] {
    let width = joined.width() / 3;
    [0, 1, 2].map(|part| {
        let mut own = joined.zeros_with_width(width);
        for r in 0..joined.rows() {
            own.row_mut(r)
                .copy_from_slice(&joined.row(r)[part * width..(part + 1) * width]);
        }
        own
    })
}

/// The other way round than [`split`].
fn join(parts: &[Tensor; 3]) -> Tensor {
    let width = parts[0].width();
    let mut joined = parts[0].zeros_with_width(3 * width);
    for r in 0..joined.rows() {
        for (i, part) in parts.iter().enumerate() {
            joined.row_mut(r)[i * width..(i + 1) * width].copy_from_slice(part.row(r));
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{BlockOptions, block, block_backward};
    use crate::random::Rng;
    use crate::reference::config::{ModelConfig, TextConfig, VisionConfig};
    use crate::reference::finite::{assert_gradient, assert_param_gradients};
    use crate::reference::layers::Activation;
    use crate::reference::params::Params;
    use crate::reference::shapes::random_params;
    use crate::reference::tensor::{Tensor, dot};

    #[test]
    fn block_gradients_agree_with_finite_differences() {
        let config = ModelConfig {
            embed_dim: 2,
            image_size: 2,
            vision: VisionConfig::Vit {
                layers: 0,
                width: 2,
                head_width: 2,
                patch_size: 2,
                mlp_ratio: 1.0,
            },
            text: TextConfig {
                context_length: 3,
                vocab_size: 3,
                width: 4,
                heads: 2,
                layers: 1,
            },
            quick_gelu: false,
        };
        let prefix = "transformer.resblocks.0";
        let mut rng = Rng::new(11);
        let params: Params = random_params(&config, &mut rng)
            .iter()
            .filter(|(name, _)| name.starts_with(prefix))
            .map(|(name, tensor)| (name.to_owned(), tensor.clone()))
            .collect();
        assert_eq!(params.len(), 12);
        let x = Tensor::random(&[2, 3, 4], 1.0, &mut rng);
        let dy = Tensor::random(&[2, 3, 4], 1.0, &mut rng);
        for causal in [false, true] {
            let options = BlockOptions {
                heads: 2,
                causal,
                activation: Activation::Gelu,
            };
            let value = |params: &Params, x: &Tensor| {
                let (y, _) = block(params, prefix, options, x.clone());
                dot(&y.data, &dy.data)
            };
            let mut grads = params.zeros_like();
            let (_, trace) = block(&params, prefix, options, x.clone());
            let dx = block_backward(&params, &mut grads, prefix, options, &trace, &dy);
            assert_gradient("x", &x, &dx, |x| value(&params, x));
            assert_param_gradients(&params, &grads, |params| value(params, &x));
        }
    }
}
