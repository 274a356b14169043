//! Kernels in several vector widths, and the functions that they share.

/// Numbers that an inner loop takes at once: one AVX-512 register of f32.
pub(super) const LANES: usize = 16;

/// Compiles a kernel for AVX-512, for AVX2 and for the target's baseline, and calls the widest that
/// this machine has. The baseline of x86-64 is SSE2, a quarter of the width and without fused
/// multiply-add.
///
/// The const parameter says whether multiply-add is one instruction: pass it to [`mul_add`].
macro_rules! multiversion {
    (
        $(#[$meta:meta])*
        fn $name:ident<const $fma:ident: bool>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "a kernel's slices")]
        fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "a kernel's slices")]
            fn kernel<const $fma: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel's slices")]
                fn avx512($($arg: $ty),*) $(-> $ret)? {
                    kernel::<true>($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "a kernel's slices")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    kernel::<true>($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: this machine has the features that the function is compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: this machine has the features that the function is compiled for.
                    return unsafe { avx2($($arg),*) };
                }
            }
            kernel::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
        }
    };
}
pub(super) use multiversion;

/// `a * b + c`, in one rounding where the machine has the instruction: without it `f32::mul_add` is
/// a call into the C library for each number.
#[inline(always)]
pub(super) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// `e^x` to 2e-7 of its value, after Cephes' `expf`: zero below -87.3, `e^88` above 88, NaN kept.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f32) -> f32 {
    const LOWEST: f32 = -87.3;
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(LOWEST, 88.0);
    let shifted = mul_add::<FMA>(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    // ln 2 in two parts, so that n times the first is exact.
    let r = mul_add::<FMA>(n, -0.693_359_4, clamped);
    let r = mul_add::<FMA>(n, 2.121_944_4e-4, r);
    let p = mul_add::<FMA>(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = mul_add::<FMA>(p, r, 8.333_452e-3);
    let p = mul_add::<FMA>(p, r, 4.166_579_6e-2);
    let p = mul_add::<FMA>(p, r, 1.666_666_5e-1);
    let p = mul_add::<FMA>(p, r, 0.5);
    let p = mul_add::<FMA>(p, r * r, r + 1.0);
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    if x < LOWEST { 0.0 } else { p * power }
}

/// The normal distribution's cumulative function and density at `x`, so that GELU is `x * cdf` and
/// erf is `2 cdf(x sqrt 2) - 1`.
///
/// With u = |x| and t = 1 / (1 + 0.27 u), the lower tail is e^(-u^2/2) t P(t), P the minimax
/// polynomial of degree 8 for u up to 14: within 2.4e-8 of the tail's value before rounding, where
/// 1 + erf would lose every digit.
#[inline(always)]
pub(super) fn normal<const FMA: bool>(x: f32) -> (f32, f32) {
    let u = x.abs();
    let e = exp::<FMA>(-0.5 * u * u);
    let t = 1.0 / mul_add::<FMA>(0.27, u, 1.0);
    let p = mul_add::<FMA>(0.028_915_175, t, -0.126_254_81);
    let p = mul_add::<FMA>(p, t, 0.169_290_55);
    let p = mul_add::<FMA>(p, t, -0.068_620_09);
    let p = mul_add::<FMA>(p, t, 0.107_398_9);
    let p = mul_add::<FMA>(p, t, 0.072_240_48);
    let p = mul_add::<FMA>(p, t, 0.101_759_13);
    let p = mul_add::<FMA>(p, t, 0.107_550_51);
    let p = mul_add::<FMA>(p, t, 0.107_720_18);
    let tail = e * t * p;
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    (cdf, e * 0.398_942_3)
}

/// The sum of `term` over the elements, lane by lane.
#[inline(always)]
pub(super) fn lane_sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += term(v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane += term(v);
    }
    fold(lanes, |a, b| a + b)
}

/// The sum of products, lane by lane.
#[inline(always)]
pub(super) fn dot<const FMA: bool>(x: &[f32], y: &[f32]) -> f32 {
    let (x_chunks, x_tail) = x.as_chunks::<LANES>();
    let (y_chunks, y_tail) = y.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (a, b) in x_chunks.iter().zip(y_chunks) {
        for k in 0..LANES {
            lanes[k] = mul_add::<FMA>(a[k], b[k], lanes[k]);
        }
    }
    for ((lane, &a), &b) in lanes.iter_mut().zip(x_tail).zip(y_tail) {
        *lane = mul_add::<FMA>(a, b, *lane);
    }
    fold(lanes, |a, b| a + b)
}

/// The lanes' numbers combined pairwise.
#[inline(always)]
pub(super) fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for k in 0..half {
            lanes[k] = combine(lanes[k], lanes[k + half]);
        }
        half /= 2;
    }
    lanes[0]
}
