//! What keeps a machine from using NCCL, and what to do about it.

/// Why NCCL cannot be used on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NcclMissing {
    /// The library is not there.
    #[error(
        "{file} cannot be opened ({detail}): pip install nvidia-nccl-cu13 and put the directory \
         nvidia/nccl/lib that it installs on LD_LIBRARY_PATH, or set \
         TWINSPAN_NCCL=/path/to/libnccl.so.2"
    )]
    Library {
        /// The file looked for.
        file: String,
        /// The loader's answer.
        detail: String,
    },
    /// The library is there and lacks a function, or refuses to say its version.
    #[error(
        "{file} is no NCCL that can be used ({detail}): install nvidia-nccl-cu13 2.28 or later"
    )]
    WrongLibrary {
        /// The file opened.
        file: String,
        /// What is wrong.
        detail: String,
    },
    /// The GPU's driver is not there.
    #[error("{file} cannot be opened ({detail}): install the NVIDIA driver, or use device cpu")]
    Driver {
        /// The file looked for.
        file: String,
        /// The loader's answer.
        detail: String,
    },
    /// The driver is older than CUDA 12.5.
    #[error(
        "{file} has no {symbol}: the NVIDIA driver is too old; install 555 (CUDA 12.5) or later"
    )]
    OldDriver {
        /// The file opened.
        file: String,
        /// The function that it lacks.
        symbol: String,
    },
    /// The driver does not give the device.
    #[error("device cuda:{ordinal} cannot be used ({detail}): check it with nvidia-smi")]
    Device {
        /// Its number.
        ordinal: u32,
        /// The driver's answer.
        detail: String,
    },
}
