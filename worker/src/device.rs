//! What a worker computes on: from a choice to an open device.

use crate::{WorkerError, transport};
use twinspan_model::Device;
use twinspan_model::device::{
    CudaGpu, GpuError, count_cuda, find_cuda, find_wgpu, open_cuda, open_wgpu,
};
use twinspan_types::config::{CollectiveChoice, DeviceChoice, Precision};

/// A device that is open.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// As the engine has it.
    pub(crate) device: Device,
    /// Which one it is.
    pub(crate) place: Place,
}

/// Which device of this machine is computed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(CudaGpu),
    /// A GPU that Vulkan, Metal or WebGPU reaches, with its name.
    Wgpu(String),
}

impl OpenDevice {
    /// Opens what was chosen for this worker alone.
    ///
    /// # Errors
    /// It is not there, something that it needs is not, or it cannot compute in `precision`.
    pub fn open(choice: DeviceChoice, precision: Precision) -> Result<Self, WorkerError> {
        let (device, place) = match resolve(choice, count_cuda)? {
            Resolved::Cpu => (Device::flex(), Place::Cpu),
            Resolved::Cuda(number) => {
                let (gpu, device) = open_cuda(number)?;
                (device, Place::Cuda(gpu))
            }
            Resolved::Wgpu(number) => {
                let (name, device) = open_wgpu(number)?;
                (device, Place::Wgpu(format!("wgpu:{number}, {name}")))
            }
        };
        check_precision(&place, precision)?;
        Ok(Self { device, place })
    }
}

impl Place {
    /// What all ranks of a run must have in common.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Cuda(gpu) => format!("cuda {}", gpu.architecture()),
            Self::Wgpu(_) => "wgpu".to_owned(),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cpu => write!(f, "cpu"),
            Self::Cuda(gpu) => write!(f, "{gpu}"),
            Self::Wgpu(name) => write!(f, "{name}"),
        }
    }
}

/// The choices for `workers` workers of this machine, each with a device of its own where there are
/// GPUs to be dealt; a GPU that is named by its number is taken by all. Each device has been looked
/// for.
///
/// # Errors
/// There are fewer GPUs than workers, a device is not there, something that it needs is not, it
/// cannot compute in `precision`, or what is to carry the `collective`s cannot be had with it.
pub fn deal(
    choice: DeviceChoice,
    workers: usize,
    precision: Precision,
    collective: CollectiveChoice,
) -> Result<Vec<DeviceChoice>, WorkerError> {
    let dealt = dealt(choice, workers, count_cuda)?;
    for (worker, device) in dealt.iter().enumerate() {
        // One that all of them take is looked for once.
        if dealt[..worker].contains(device) {
            continue;
        }
        let place = match *device {
            DeviceChoice::Cuda(number) => Place::Cuda(find_cuda(number)?),
            DeviceChoice::Wgpu(number) => {
                find_wgpu(number)?;
                Place::Wgpu(device.to_string())
            }
            _ => Place::Cpu,
        };
        check_precision(&place, precision)?;
        transport::choose(collective, &place, transport::nccl)?;
    }
    Ok(dealt)
}

/// A device by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resolved {
    Cpu,
    Cuda(u32),
    Wgpu(u32),
}

/// What a worker by itself takes, where the driver shows so many GPUs.
fn resolve(
    choice: DeviceChoice,
    gpus: impl FnOnce() -> Result<u32, GpuError>,
) -> Result<Resolved, GpuError> {
    Ok(match choice {
        DeviceChoice::Cpu => Resolved::Cpu,
        DeviceChoice::Cuda(number) => Resolved::Cuda(number),
        DeviceChoice::AnyCuda => Resolved::Cuda(0),
        DeviceChoice::Wgpu(number) => Resolved::Wgpu(number),
        DeviceChoice::Auto => match usable(gpus())? {
            0 => Resolved::Cpu,
            _ => Resolved::Cuda(0),
        },
    })
}

/// What each of some workers takes.
fn dealt(
    choice: DeviceChoice,
    workers: usize,
    gpus: impl FnOnce() -> Result<u32, GpuError>,
) -> Result<Vec<DeviceChoice>, WorkerError> {
    let count = match choice {
        DeviceChoice::Cpu | DeviceChoice::Cuda(_) | DeviceChoice::Wgpu(_) => {
            return Ok(vec![choice; workers]);
        }
        DeviceChoice::AnyCuda => gpus()?,
        DeviceChoice::Auto => match usable(gpus())? {
            0 => return Ok(vec![DeviceChoice::Cpu; workers]),
            count => count,
        },
    };
    match workers > count as usize {
        true => Err(WorkerError::TooFewGpus { workers, count }),
        false => Ok((0..count).take(workers).map(DeviceChoice::Cuda).collect()),
    }
}

/// The GPUs that a worker without a choice can take: none where this build or this machine has no
/// use for any. A driver that is there and does not work is no reason to compute on the processor.
fn usable(gpus: Result<u32, GpuError>) -> Result<u32, GpuError> {
    match gpus {
        Err(GpuError::NotBuilt { .. } | GpuError::Missing { .. }) => Ok(0),
        gpus => gpus,
    }
}

fn check_precision(place: &Place, precision: Precision) -> Result<(), WorkerError> {
    let can = match place {
        Place::Cuda(gpu) => gpu.has_bf16(),
        Place::Cpu | Place::Wgpu(_) => false,
    };
    match precision == Precision::Bf16 && !can {
        true => Err(WorkerError::NoBf16 {
            place: place.to_string(),
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
