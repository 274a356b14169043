//! A matrix that is made block by block.

use burn::tensor::{Device, Tensor, TensorData};

use crate::flat::to_vec;

/// Blocks of rows that become one matrix.
pub(super) enum Rows {
    /// In host memory each block goes to its place at once: to join blocks would hold all of them twice.
    Host(Vec<f32>, [usize; 2]),
    /// Elsewhere they are joined at the end, which waits for nothing.
    Device(Vec<Tensor<2>>),
}

impl Rows {
    pub(super) fn new(shape: [usize; 2], device: &Device) -> Self {
        match *device == Device::flex() {
            true => Self::Host(Vec::with_capacity(shape.iter().product()), shape),
            false => Self::Device(Vec::new()),
        }
    }

    pub(super) fn push(&mut self, block: Tensor<2>) {
        match self {
            Self::Host(numbers, _) => numbers.extend(to_vec(block)),
            Self::Device(blocks) => blocks.push(block),
        }
    }

    pub(super) fn whole(self) -> Tensor<2> {
        match self {
            Self::Host(numbers, shape) => {
                Tensor::from_data(TensorData::new(numbers, shape), &Device::flex())
            }
            Self::Device(blocks) => Tensor::cat(blocks, 0),
        }
    }
}
