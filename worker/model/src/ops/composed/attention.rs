//! Attention whose backward computes the probabilities again.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{DType, Slice, TensorData};

use super::num::Num;
use crate::ops::exact::ExactProduct;

pub(in crate::ops) fn attention<B: ExactProduct>(
    qkv: FloatTensor<B>,
    heads: usize,
    causal: bool,
) -> FloatTensor<B> {
    let qkv = Num::<B>(qkv);
    let [batch, length, joined] = qkv.dims();
    let [q, k, v] = parts(qkv, heads).map(|part| part.0);
    let options = AttentionModuleOptions {
        is_causal: causal,
        ..AttentionModuleOptions::default()
    };
    let out_bhtd = Num::<B>(B::attention(q, k, v, None, None, options));
    let out_bthd = out_bhtd.permute(&[0, 2, 1, 3]);
    out_bthd.reshape([batch, length, joined / 3]).0
}

pub(in crate::ops) fn attention_backward<B: ExactProduct>(
    qkv: FloatTensor<B>,
    grad: FloatTensor<B>,
    heads: usize,
    causal: bool,
) -> FloatTensor<B> {
    let qkv = Num::<B>(qkv);
    let ([batch, length, joined], dtype) = (qkv.dims(), qkv.dtype());
    let head_width = joined / 3 / heads;
    let scale = (head_width as f32).sqrt().recip();
    let g_bhtd = Num::<B>(grad)
        .reshape([batch, length, heads, head_width])
        .permute(&[0, 2, 1, 3]);
    let [q, k, v] = parts(qkv, heads);

    let logits = q.clone().matmul(k.clone().transpose()).cast(DType::F32);
    let logits = logits.times(scale);
    let logits = match causal {
        true => hide_later(logits, length),
        false => logits,
    };
    let powers = (logits.clone() - logits.max(3)).exp();
    let p = powers.clone() / powers.sum(3);

    let dv = p.clone().cast(dtype).transpose().matmul(g_bhtd.clone());
    let dp = g_bhtd.matmul(v.transpose()).cast(DType::F32);
    let mean = (dp.clone() * p.clone()).sum(3);
    let ds = (p * (dp - mean)).times(scale).cast(dtype);
    let dq = ds.clone().matmul(k);
    let dk = ds.transpose().matmul(q);

    let sides = [dq, dk, dv].map(|part_bhtd| {
        let part_bthd = part_bhtd.permute(&[0, 2, 1, 3]);
        part_bthd.reshape([batch, length, joined / 3])
    });
    Num::cat(sides.into(), 2).0
}

/// Queries, keys and values, [B, heads, T, head width] each.
fn parts<B: Backend>(qkv: Num<B>, heads: usize) -> [Num<B>; 3] {
    let [batch, length, joined] = qkv.dims();
    let width = joined / 3;
    [0, 1, 2].map(|part| {
        let columns = part * width..(part + 1) * width;
        let slices = [Slice::full(), Slice::full(), Slice::from(columns)];
        let part_btw = qkv.clone().slice(&slices);
        let part_bthd = part_btw.reshape([batch, length, heads, width / heads]);
        part_bthd.permute(&[0, 2, 1, 3])
    })
}

/// Logits [B, heads, T, T] with what lies behind each position at minus infinity.
fn hide_later<B: Backend>(logits: Num<B>, length: usize) -> Num<B> {
    let hidden = |place: usize| match place % length > place / length {
        true => f32::NEG_INFINITY,
        false => 0.0,
    };
    let mask: Vec<f32> = (0..length * length).map(hidden).collect();
    let mask = TensorData::new(mask, [1, 1, length, length]);
    let mask = B::float_from_data(mask, &logits.0.device());
    logits + Num(mask)
}
