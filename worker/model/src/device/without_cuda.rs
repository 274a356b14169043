//! In the place of `cuda` where this build has none.

use super::{CudaGpu, GpuError};
use crate::Device;

const NOT_BUILT: GpuError = GpuError::NotBuilt {
    what: "CUDA",
    feature: "cuda",
};

/// How many NVIDIA GPUs there are.
///
/// # Errors
/// Always: this build cannot use them.
pub fn count_cuda() -> Result<u32, GpuError> {
    Err(NOT_BUILT)
}

/// An NVIDIA GPU.
///
/// # Errors
/// Always: this build cannot use it.
pub fn find_cuda(_number: u32) -> Result<CudaGpu, GpuError> {
    Err(NOT_BUILT)
}

/// An NVIDIA GPU, opened.
///
/// # Errors
/// Always: this build cannot use it.
pub fn open_cuda(_number: u32) -> Result<(CudaGpu, Device), GpuError> {
    Err(NOT_BUILT)
}
