//! The patches of a picture as rows, so that a convolution is a matrix product.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::composed;
use super::glue::{Output, Slot, Values, map_blocks, record, tensor};

/// The patches of `x` [B, H, W, C] as rows [B*Ho*Wo, k*k*C], their columns ordered (kh, kw, c), with
/// `padding` zeros on each side; Ho = (H + 2 padding - k) / stride + 1, and Wo alike, rounded down.
pub fn im2col(x: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<2> {
    let [batch, height, width, channels] = x.dims();
    assert!(
        kernel > 0 && stride > 0,
        "im2col: kernel and stride are at least 1"
    );
    assert!(
        height + 2 * padding >= kernel && width + 2 * padding >= kernel,
        "im2col: a kernel of {kernel} is larger than the padded picture, {height}x{width}"
    );
    if (kernel, stride, padding) == (1, 1, 0) {
        return x.reshape([batch * height * width, channels]);
    }
    let window = Window {
        height,
        width,
        channels,
        kernel,
        stride,
        padding,
    };
    Tensor::from_dispatch(<Dispatch as Im2col>::fused_im2col(
        x.into_dispatch(),
        window,
    ))
}

/// The sizes of a picture, and how the kernel walks over it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
}

#[backend_extension(
    Flex,
    Cube: cfg(feature = "gpu"),
    Fusion: cfg(feature = "gpu"),
    Autodiff
)]
pub(super) trait Im2col: Backend {
    #[fusion(default)]
    fn fused_im2col(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        composed::im2col::<Self>(x, window)
    }
}

pub(super) trait Im2colBackward: Im2col {
    /// The gradient of x, given the rows'.
    fn im2col_backward(grad: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        composed::im2col_backward::<Self>(grad, window)
    }
}

impl Window {
    pub(super) fn out_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    pub(super) fn out_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    fn picture(&self) -> usize {
        self.height * self.width * self.channels
    }

    pub(super) fn columns(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// Calls `run` for each row of the kernel at each place, in the order of the rows' columns, with
    /// what lies inside the picture: zeros before, first number in the picture, numbers, zeros after.
    fn for_each_run(&self, mut run: impl FnMut(usize, usize, usize, usize)) {
        let line = self.kernel * self.channels;
        for out_y in 0..self.out_height() {
            for out_x in 0..self.out_width() {
                let left = out_x * self.stride;
                let first = left.max(self.padding);
                let last = (left + self.kernel)
                    .min(self.padding + self.width)
                    .max(first);
                for kernel_y in 0..self.kernel {
                    let y = (out_y * self.stride + kernel_y).wrapping_sub(self.padding);
                    if y >= self.height || first == last {
                        run(line, 0, 0, 0);
                        continue;
                    }
                    let before = (first - left) * self.channels;
                    let inside = (last - first) * self.channels;
                    let start = (y * self.width + first - self.padding) * self.channels;
                    run(before, start, inside, line - before - inside);
                }
            }
        }
    }
}

impl Im2col for Flex {
    fn fused_im2col(x: FlexTensor, window: Window) -> FlexTensor {
        let x = Values::of(x);
        let [batch, ..] = x.dims::<4>();
        let places = window.out_height() * window.out_width();
        let mut out = Output::new([batch * places, window.columns()]);
        map_blocks(out.slots(), places * window.columns(), |i, out| {
            gather(&x[i * window.picture()..][..window.picture()], window, out);
        });
        // SAFETY: the blocks cover the output, and the runs of a picture cover its block.
        unsafe { out.into_tensor() }
    }
}

impl Im2colBackward for Flex {
    fn im2col_backward(grad: FlexTensor, window: Window) -> FlexTensor {
        let grad = Values::of(grad);
        let block = window.out_height() * window.out_width() * window.columns();
        let batch = grad.len() / block;
        let mut dx = vec![0.0; batch * window.picture()];
        map_blocks(&mut dx, window.picture(), |i, dx| {
            scatter(&grad[i * block..][..block], window, dx);
        });
        tensor(dx, [batch, window.height, window.width, window.channels])
    }
}

fn gather(picture: &[f32], window: Window, mut out: &mut [Slot]) {
    window.for_each_run(|before, start, inside, after| {
        let line = out.split_off_mut(..before + inside + after);
        let line = line.expect("the runs are as long as the rows together");
        line[..before].fill(Slot::new(0.0));
        line[before..before + inside].write_copy_of_slice(&picture[start..start + inside]);
        line[before + inside..].fill(Slot::new(0.0));
    });
    assert!(out.is_empty(), "the runs are as long as the rows together");
}

fn scatter(grad: &[f32], window: Window, picture: &mut [f32]) {
    let mut read = 0;
    window.for_each_run(|before, start, inside, after| {
        let line = &grad[read + before..][..inside];
        for (sum, g) in picture[start..start + inside].iter_mut().zip(line) {
            *sum += g;
        }
        read += before + inside + after;
    });
}

#[derive(Debug)]
struct Step;

impl<B: Im2colBackward> Backward<B, 1> for Step {
    type State = Window;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = grads.consume::<B>(&ops.node);
        if let [Some(parent)] = ops.parents {
            grads.register::<B>(parent.id, B::im2col_backward(grad, ops.state));
        }
    }
}

impl<B: Im2colBackward, C: CheckpointStrategy> Im2col for Autodiff<B, C> {
    fn fused_im2col(x: FloatTensor<Self>, window: Window) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        record::<C, _, _, _>(Step, [node], B::fused_im2col(x, window), || window)
    }
}
