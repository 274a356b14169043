//! What a run computes on and in, and what carries its collectives.

use super::reader::Section;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What every worker is told that the command line tells nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkerSection {
    /// What it computes on.
    pub device: DeviceChoice,
}

/// What a worker computes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// An NVIDIA GPU where this build can use one and there is one, the processor elsewhere.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU: the first one, or one for each worker of a machine.
    AnyCuda,
    /// The NVIDIA GPU of this number.
    Cuda(u32),
    /// The GPU of this number among those that Vulkan, Metal or WebGPU reaches.
    Wgpu(u32),
}

/// What may be said in the place of a device.
pub(super) const DEVICES: &str = "auto, cpu, cuda, cuda:N or wgpu:N, with a number N from 0";

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => write!(f, "auto"),
            Self::Cpu => write!(f, "cpu"),
            Self::AnyCuda => write!(f, "cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Wgpu(number) => write!(f, "wgpu:{number}"),
        }
    }
}

/// Words that name no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {DEVICES}")]
pub struct NoDevice(String);

impl FromStr for DeviceChoice {
    type Err = NoDevice;

    fn from_str(text: &str) -> Result<Self, NoDevice> {
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => digits.parse().ok(),
            false => None,
        };
        let choice = match text.split_once(':') {
            None if text == "auto" => Some(Self::Auto),
            None if text == "cpu" => Some(Self::Cpu),
            None if text == "cuda" => Some(Self::AnyCuda),
            Some(("cuda", digits)) => number(digits).map(Self::Cuda),
            Some(("wgpu", digits)) => number(digits).map(Self::Wgpu),
            _ => None,
        };
        choice.ok_or_else(|| NoDevice(text.to_owned()))
    }
}

impl Serialize for DeviceChoice {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceChoice {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What the towers compute in. Weights, moments, layer norms, softmax, loss and update are fp32 in
/// either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    #[default]
    Fp32,
    /// bfloat16.
    Bf16,
}

pub(super) const PRECISIONS: [(&str, Precision); 2] =
    [("fp32", Precision::Fp32), ("bf16", Precision::Bf16)];

/// What carries the collectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectiveChoice {
    /// NCCL where a worker computes on an NVIDIA GPU and has it, TCP elsewhere.
    #[default]
    Auto,
    /// TCP.
    Tcp,
    /// NCCL.
    Nccl,
}

pub(super) const COLLECTIVES: [(&str, CollectiveChoice); 3] = [
    ("auto", CollectiveChoice::Auto),
    ("tcp", CollectiveChoice::Tcp),
    ("nccl", CollectiveChoice::Nccl),
];

pub(super) fn worker(mut section: Section<'_>) -> WorkerSection {
    let config = WorkerSection {
        device: section.parsed("device", DEVICES).unwrap_or_default(),
    };
    section.finish();
    config
}
