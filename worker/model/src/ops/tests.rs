//! Each operation against f64 loops, finite differences of them, and burn's own composition.
#![allow(clippy::unwrap_used, reason = "tests")]

mod convolution;
mod device;
pub(super) mod harness;
mod norms;
mod products;
mod scalar;
mod threads;

/// A GPU where the tests are built for one, else the CPU.
pub(crate) fn device_under_test() -> burn::tensor::Device {
    if let Ok((_, device)) = crate::device::open_cuda(0) {
        return device;
    }
    #[cfg(feature = "wgpu")]
    return burn::tensor::Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    burn::tensor::Device::flex()
}
