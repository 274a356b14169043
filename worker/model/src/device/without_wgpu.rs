//! In the place of `wgpu` where this build has none.

use super::GpuError;
use crate::Device;

const NOT_BUILT: GpuError = GpuError::NotBuilt {
    what: "wgpu",
    feature: "wgpu",
};

/// That a GPU is there.
///
/// # Errors
/// Always: this build cannot use it.
pub fn find_wgpu(_number: u32) -> Result<(), GpuError> {
    Err(NOT_BUILT)
}

/// A GPU's name, and the GPU opened.
///
/// # Errors
/// Always: this build cannot use it.
pub fn open_wgpu(_number: u32) -> Result<(String, Device), GpuError> {
    Err(NOT_BUILT)
}
