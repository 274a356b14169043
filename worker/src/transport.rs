//! What carries a worker's collectives.

use crate::WorkerError;
use crate::device::Place;
use twinspan_types::config::CollectiveChoice;

/// What carries the collectives of a run. All ranks take the same: the coordinator turns away who
/// joins with another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    /// TCP.
    Tcp {
        /// Why it is not NCCL, on a GPU that could have used it.
        no_nccl: Option<String>,
    },
    /// NCCL of this version: ranks of two versions do not understand each other.
    Nccl(String),
}

impl Transport {
    /// The GPU that takes part in NCCL's collectives.
    pub(crate) fn gpu(&self, place: &Place) -> Option<u32> {
        match (self, place) {
            (Self::Nccl(_), Place::Cuda(gpu)) => Some(gpu.number),
            _ => None,
        }
    }

    /// What all ranks of a run must have in common.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Tcp { .. } => "tcp".to_owned(),
            Self::Nccl(version) => format!("nccl {version}"),
        }
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { no_nccl: None } => write!(f, "TCP"),
            Self::Tcp { no_nccl: Some(why) } => write!(f, "TCP, as there is no NCCL: {why}"),
            Self::Nccl(version) => write!(f, "NCCL {version}"),
        }
    }
}

/// What is taken where this was asked for, by a worker on this device that has NCCL of a version,
/// or lacks it for a reason.
///
/// # Errors
/// NCCL was asked for by name and cannot be used here.
pub(crate) fn choose(
    asked: CollectiveChoice,
    place: &Place,
    nccl: impl FnOnce() -> Result<String, String>,
) -> Result<Transport, WorkerError> {
    let on_cuda = matches!(place, Place::Cuda(_));
    match asked {
        CollectiveChoice::Auto if on_cuda => Ok(match nccl() {
            Ok(version) => Transport::Nccl(version),
            Err(why) => Transport::Tcp { no_nccl: Some(why) },
        }),
        CollectiveChoice::Auto | CollectiveChoice::Tcp => Ok(Transport::Tcp { no_nccl: None }),
        CollectiveChoice::Nccl if on_cuda => {
            nccl().map(Transport::Nccl).map_err(WorkerError::NoNccl)
        }
        CollectiveChoice::Nccl => Err(WorkerError::NoNccl(format!(
            "it needs an NVIDIA GPU, and this worker computes on {place}"
        ))),
    }
}

/// The version of NCCL that this worker can use, or why it can use none.
pub(crate) fn nccl() -> Result<String, String> {
    let found = twinspan_collective::nccl::probe();
    found
        .map(|version| version.to_string())
        .map_err(|missing| missing.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinspan_model::device::{CudaGpu, Version};

    const TCP: Transport = Transport::Tcp { no_nccl: None };

    fn gpu() -> Place {
        let version = Version { major: 9, minor: 0 };
        Place::Cuda(CudaGpu {
            number: 0,
            name: "a GPU".to_owned(),
            capability: version,
            driver: version,
            nvrtc: version,
        })
    }

    fn there() -> Result<String, String> {
        Ok("2.28.3".to_owned())
    }

    fn missing() -> Result<String, String> {
        Err("libnccl.so.2 cannot be opened".to_owned())
    }

    fn not_asked() -> Result<String, String> {
        panic!("nobody needs NCCL")
    }

    #[test]
    fn nccl_is_taken_unasked_on_gpus_that_have_it() {
        let taken = choose(CollectiveChoice::Auto, &gpu(), there).expect("a choice");
        assert_eq!(taken.kind(), "nccl 2.28.3");
        let taken = choose(CollectiveChoice::Auto, &gpu(), missing).expect("a choice");
        assert_eq!(taken.kind(), "tcp");
        assert_eq!(
            taken.to_string(),
            "TCP, as there is no NCCL: libnccl.so.2 cannot be opened"
        );
        let taken = choose(CollectiveChoice::Auto, &Place::Cpu, not_asked);
        assert_eq!(taken.expect("a choice"), TCP);
    }

    #[test]
    fn tcp_is_taken_where_it_was_asked_for() {
        for place in [gpu(), Place::Cpu] {
            let taken = choose(CollectiveChoice::Tcp, &place, not_asked);
            assert_eq!(taken.expect("a choice"), TCP);
        }
    }

    #[test]
    fn nccl_that_was_asked_for_and_is_missing_is_an_error_that_says_what_is_missing() {
        let taken = choose(CollectiveChoice::Nccl, &gpu(), there);
        assert_eq!(taken.expect("a choice").to_string(), "NCCL 2.28.3");
        let told = |place: &Place, nccl: fn() -> Result<String, String>| {
            let error = choose(CollectiveChoice::Nccl, place, nccl).expect_err("refused");
            assert!(error.is_bad_input());
            error.to_string()
        };
        let text = told(&gpu(), missing);
        assert!(text.contains("libnccl.so.2 cannot be opened"), "{text}");
        let text = told(&Place::Cpu, not_asked);
        assert!(
            text.contains("needs an NVIDIA GPU, and this worker computes on cpu"),
            "{text}"
        );
    }
}
