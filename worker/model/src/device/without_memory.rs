//! In the place of `memory` where this build has no CUDA.

use super::DeviceMemory;
use crate::Tensor;

/// The memory of a tensor on an NVIDIA GPU: there is none.
#[must_use]
pub fn memory_of<const D: usize>(_tensor: &Tensor<D>) -> Option<DeviceMemory> {
    None
}
