//! Where and how a rank computes its steps.

use burn::tensor::{DType, Device};
use twinspan_types::config::{Precision, TrainConfig};

/// Where and how a rank computes its steps.
#[derive(Clone, Debug)]
pub struct Compute {
    /// What computes.
    pub device: Device,
    /// What the towers' weights and activations are stored in. Norms, softmax, loss, the flat
    /// gradient and the optimiser are f32 in any case.
    pub dtype: DType,
    /// Whether the towers' products of f32 may be computed in TF32 where the device has it.
    pub tf32: bool,
    /// Whether parameters, moments and gradients stay on the device from step to step. Else they are
    /// in host memory, which a CPU shares.
    pub resident: bool,
    /// Whether a block's activations are computed again in the backward pass instead of being kept.
    pub recompute: bool,
}

impl Compute {
    /// On the CPU.
    #[must_use]
    pub fn cpu() -> Self {
        Self {
            device: Device::flex(),
            dtype: DType::F32,
            tf32: true,
            resident: false,
            recompute: false,
        }
    }

    /// On a device with memory of its own.
    #[must_use]
    pub fn on(device: Device) -> Self {
        Self {
            device,
            resident: true,
            ..Self::cpu()
        }
    }

    /// What a run's file says of how to compute, on `device`.
    #[must_use]
    pub fn of(config: &TrainConfig, device: &Device) -> Self {
        let on = match *device == Device::flex() {
            true => Self::cpu(),
            false => Self::on(device.clone()),
        };
        Self {
            dtype: match config.precision {
                Precision::Fp32 => DType::F32,
                Precision::Bf16 => DType::BF16,
            },
            tf32: config.tf32,
            recompute: config.recompute,
            ..on
        }
    }
}
