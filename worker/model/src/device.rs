//! What the towers compute on: found, named and opened. Where a library or a device is missing
//! there is an error that says so; the engine itself would panic.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "device/without_cuda.rs"]
mod cuda;
#[cfg(feature = "cuda")]
mod memory;
#[cfg(not(feature = "cuda"))]
#[path = "device/without_memory.rs"]
mod memory;
#[cfg(feature = "wgpu")]
mod wgpu;
#[cfg(not(feature = "wgpu"))]
#[path = "device/without_wgpu.rs"]
mod wgpu;

pub use cuda::{count_cuda, find_cuda, open_cuda};
pub use memory::memory_of;
pub use wgpu::{find_wgpu, open_wgpu};

use std::any::Any;
use std::fmt;

/// Numbers of f32 on an NVIDIA GPU.
pub struct DeviceMemory {
    /// Where they begin.
    pub pointer: u64,
    /// How many they are.
    pub len: usize,
    /// What keeps them there.
    pub held: Box<dyn Any + Send>,
}

/// A version of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The first.
    pub major: u32,
    /// The second.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// An NVIDIA GPU, with all that computing on it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CudaGpu {
    /// As CUDA counts, from 0.
    pub number: u32,
    /// What NVIDIA calls it.
    pub name: String,
    /// Its compute capability.
    pub capability: Version,
    /// The CUDA version that the driver is for.
    pub driver: Version,
    /// The version of the compiler of its kernels.
    pub nvrtc: Version,
}

/// The first compute capability with matrix products in bf16.
const FIRST_WITH_BF16: Version = Version { major: 8, minor: 0 };

impl CudaGpu {
    /// Whether it multiplies matrices in bf16.
    #[must_use]
    pub fn has_bf16(&self) -> bool {
        self.capability >= FIRST_WITH_BF16
    }

    /// What its kernels are compiled for, such as `sm_90`: GPUs of one architecture compute alike.
    #[must_use]
    pub fn architecture(&self) -> String {
        let Version { major, minor } = self.capability;
        format!("sm_{major}{minor}")
    }
}

impl fmt::Display for CudaGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            name,
            driver,
            nvrtc,
            ..
        } = self;
        let architecture = self.architecture();
        write!(
            f,
            "cuda:{number}, {name} ({architecture}), driver {driver}, NVRTC {nvrtc}"
        )
    }
}

/// Why a GPU cannot be computed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// This program cannot use such GPUs.
    #[error(
        "this twinspan was built without {what}: cargo build --release --features {feature}, or say worker.device: cpu"
    )]
    NotBuilt {
        /// Without what.
        what: &'static str,
        /// The feature that builds it in.
        feature: &'static str,
    },
    /// Something that must be installed is not there.
    #[error("{what}: {remedy}, or say worker.device: cpu")]
    Missing {
        /// What, and how its absence showed.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The driver is there and does not work.
    #[error(
        "the NVIDIA driver refuses its work ({reason}): see whether nvidia-smi finds it well, or say worker.device: cpu"
    )]
    Driver {
        /// What it says.
        reason: String,
    },
    /// There is no device of this number.
    #[error("{kind}:{number} is not there: {}", have(kind, *count))]
    NoSuchDevice {
        /// `cuda` or `wgpu`.
        kind: &'static str,
        /// The number that was asked for.
        number: u32,
        /// How many there are.
        count: u32,
    },
}

/// How many devices there are, and what they are called.
fn have(kind: &str, count: u32) -> String {
    match count {
        0 => format!("this machine shows no GPU to {kind}; say worker.device: cpu"),
        1 => format!("this machine has 1 GPU, {kind}:0"),
        n => format!("this machine has {n} GPUs, {kind}:0 to {kind}:{}", n - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(major: u32, minor: u32) -> CudaGpu {
        CudaGpu {
            number: 1,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            capability: Version { major, minor },
            driver: Version {
                major: 13,
                minor: 0,
            },
            nvrtc: Version {
                major: 12,
                minor: 9,
            },
        }
    }

    #[test]
    fn a_gpu_says_what_it_is_in_one_line() {
        assert_eq!(
            gpu(9, 0).to_string(),
            "cuda:1, NVIDIA H100 80GB HBM3 (sm_90), driver 13.0, NVRTC 12.9"
        );
    }

    #[test]
    fn bf16_begins_with_compute_capability_8() {
        let with = [(7, 5), (8, 0), (8, 9), (9, 0), (12, 0)]
            .map(|(major, minor)| gpu(major, minor).has_bf16());
        assert_eq!(with, [false, true, true, true, true]);
    }

    #[test]
    fn a_number_too_high_is_answered_with_those_that_there_are() {
        let told = |count| {
            let error = GpuError::NoSuchDevice {
                kind: "cuda",
                number: 7,
                count,
            };
            error.to_string()
        };
        assert_eq!(
            told(2),
            "cuda:7 is not there: this machine has 2 GPUs, cuda:0 to cuda:1"
        );
        assert_eq!(
            told(1),
            "cuda:7 is not there: this machine has 1 GPU, cuda:0"
        );
        assert!(told(0).contains("no GPU"), "{}", told(0));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_build_without_cuda_says_how_to_build_one_with_it() {
        let told = find_cuda(0).expect_err("not built").to_string();
        assert!(
            told.contains("built without CUDA: cargo build --release --features cuda"),
            "{told}"
        );
        assert_eq!(count_cuda(), open_cuda(0).map(|_| 0));
    }
}
