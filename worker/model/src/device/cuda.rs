//! NVIDIA GPUs. Nothing of CUDA is linked: driver and compiler are opened when they are asked for,
//! and cudarc, which opens them, panics where they are missing. So each is looked for first.
#![allow(unsafe_code, reason = "calls into the CUDA driver and NVRTC")]

use super::{CudaGpu, GpuError, Version};
use crate::Device;
use cubecl_cuda::install::cuda_path;
use cudarc::driver::result::{self as driver, DriverError};
use cudarc::driver::sys::{CUdevice_attribute as Attribute, CUresult};
use cudarc::{driver::sys as driver_sys, nvrtc::sys as nvrtc_sys};
use std::ffi::c_int;
use std::path::PathBuf;

/// A header that the engine's kernels include.
const HEADER: &str = "cuda_fp16.h";

/// How many NVIDIA GPUs the driver shows to this process.
///
/// # Errors
/// There is no driver, or it does not work.
pub fn count_cuda() -> Result<u32, GpuError> {
    // SAFETY: Opens and closes the driver's library, whose constructors expect nothing of a caller.
    let is_there = unsafe { driver_sys::is_culib_present() };
    match is_there.then(driver::init) {
        None | Some(Err(DriverError(CUresult::CUDA_ERROR_STUB_LIBRARY))) => {
            return Err(GpuError::Missing {
                what: "libcuda.so.1 cannot be opened".to_owned(),
                remedy: "install NVIDIA's driver, and start a container with its GPUs",
            });
        }
        Some(Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE))) => return Ok(0),
        Some(begun) => begun.map_err(refused)?,
    }
    let count = driver::device::get_count().map_err(refused)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// The GPU of this number, with all that computing on it needs.
///
/// # Errors
/// What is missing: the driver, the GPU, NVRTC, or CUDA's headers.
pub fn find_cuda(number: u32) -> Result<CudaGpu, GpuError> {
    let count = count_cuda()?;
    let ordinal = c_int::try_from(number).ok().filter(|_| number < count);
    let ordinal = ordinal.ok_or(GpuError::NoSuchDevice {
        kind: "cuda",
        number,
        count,
    })?;
    let device = driver::device::get(ordinal).map_err(refused)?;
    let attribute = |attribute| {
        // SAFETY: The device comes from the driver's own `cuDeviceGet`.
        let value = unsafe { driver::device::get_attribute(device, attribute) };
        value.map(unsigned).map_err(refused)
    };
    let gpu = CudaGpu {
        number,
        name: driver::device::get_name(device).map_err(refused)?,
        capability: Version {
            major: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            minor: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        },
        driver: driver_version()?,
        nvrtc: nvrtc_version()?,
    };
    check_headers(cuda_path())?;
    Ok(gpu)
}

/// The GPU of this number, and the GPU as the engine has it.
///
/// # Errors
/// As [`find_cuda`].
pub fn open_cuda(number: u32) -> Result<(CudaGpu, Device), GpuError> {
    let gpu = find_cuda(number)?;
    Ok((gpu, Device::cuda(number)))
}

fn driver_version() -> Result<Version, GpuError> {
    let mut version: c_int = 0;
    // SAFETY: The driver writes one number, to a place that outlives the call.
    let told = unsafe { driver_sys::cuDriverGetVersion(&raw mut version) };
    told.result().map_err(refused)?;
    let version = unsigned(version);
    Ok(Version {
        major: version / 1000,
        minor: version % 1000 / 10,
    })
}

fn nvrtc_version() -> Result<Version, GpuError> {
    let missing = |how: &str| GpuError::Missing {
        what: format!("libnvrtc.so {how}"),
        remedy: "install CUDA's NVRTC, of CUDA 13 or 12, and put its folder into LD_LIBRARY_PATH",
    };
    // SAFETY: Opens and closes NVRTC's library, whose constructors expect nothing of a caller.
    let is_there = unsafe { nvrtc_sys::is_culib_present() };
    if !is_there {
        return Err(missing("cannot be opened"));
    }
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    // SAFETY: NVRTC writes two numbers, to places that outlive the call.
    let told = unsafe { nvrtc_sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    match told.result() {
        Ok(()) => Ok(Version {
            major: unsigned(major),
            minor: unsigned(minor),
        }),
        Err(error) => Err(missing(&format!("does not say its version ({error})"))),
    }
}

/// Kernels are compiled with the headers of the CUDA that the engine finds.
fn check_headers(cuda: Option<PathBuf>) -> Result<(), GpuError> {
    let what = match cuda {
        Some(cuda) => {
            let header = cuda.join("include").join(HEADER);
            if header.exists() {
                return Ok(());
            }
            format!("{} is not there", header.display())
        }
        None => format!("CUDA's headers ({HEADER}) are in none of the usual folders"),
    };
    Err(GpuError::Missing {
        what,
        remedy: "install CUDA's headers, and set CUDA_PATH to the folder that holds their include",
    })
}

fn refused(error: DriverError) -> GpuError {
    GpuError::Driver {
        reason: format!("{error:?}"),
    }
}

/// Counts and versions, which the driver gives as signed numbers.
fn unsigned(number: c_int) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_not_there_are_named_with_what_to_set() {
        for (cuda, what) in [
            (
                Some(PathBuf::from("/nowhere")),
                "/nowhere/include/cuda_fp16.h is not there",
            ),
            (
                None,
                "CUDA's headers (cuda_fp16.h) are in none of the usual folders",
            ),
        ] {
            let told = check_headers(cuda).expect_err("nothing there").to_string();
            assert!(
                told.starts_with(what) && told.contains("set CUDA_PATH"),
                "{told}"
            );
        }
    }
}
