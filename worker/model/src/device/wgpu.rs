//! GPUs that Vulkan, Metal or WebGPU reaches, software renderers among them.

use super::GpuError;
use crate::Device;
use burn::tensor::DeviceType;

/// That the GPU of this number is there.
///
/// # Errors
/// It is not.
pub fn find_wgpu(number: u32) -> Result<(), GpuError> {
    device(number).map(drop)
}

/// The name of the GPU of this number, and the GPU opened.
///
/// # Errors
/// It is not there.
pub fn open_wgpu(number: u32) -> Result<(String, Device), GpuError> {
    let device = device(number)?;
    let identity = device.identity();
    let name = identity.map_or_else(
        || "a GPU without a name".to_owned(),
        |identity| identity.name,
    );
    Ok((name, device))
}

fn device(number: u32) -> Result<Device, GpuError> {
    let devices: Vec<Device> = Device::enumerate(DeviceType::Wgpu).into_iter().collect();
    let count = u32::try_from(devices.len()).unwrap_or(u32::MAX);
    let device = devices.into_iter().nth(number as usize);
    device.ok_or(GpuError::NoSuchDevice {
        kind: "wgpu",
        number,
        count,
    })
}
