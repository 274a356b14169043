//! Where and how a rank computes its steps.

use burn::tensor::{DType, Device};

/// What the towers' weights and activations are stored in. Norms, softmax, loss, gradients of the
/// flat buffer and the optimiser are f32 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Fp32,
    /// 16 bits with the exponent of 32.
    Bf16,
    /// 16 bits with 11 of precision, for devices that know no bf16.
    Fp16,
}

/// Where and how a rank computes its steps.
#[derive(Clone, Debug)]
pub struct Compute {
    /// What computes.
    pub device: Device,
    /// What the towers compute in.
    pub precision: Precision,
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
            precision: Precision::Fp32,
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

    /// The type of the towers' weights and activations.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match self.precision {
            Precision::Fp32 => DType::F32,
            Precision::Bf16 => DType::BF16,
            Precision::Fp16 => DType::F16,
        }
    }
}
