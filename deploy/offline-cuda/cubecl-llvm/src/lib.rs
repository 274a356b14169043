//! What cubecl-cuda names of cubecl-llvm, without LLVM: it compiles, and it compiles no kernel.
//!
//! cubecl-cuda chooses its compiler when it is built. With its `cpp` feature that is NVRTC, and
//! nothing here is ever called but [`nvptx::ptx_version::PtxVersion::for_driver`].

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_runtime::compiler::{CompilationError, Compiler};
use cubecl_runtime::kernel::BufferIOAttr;
use std::fmt;

/// The version of PTX that a driver reads.
pub mod nvptx {
    /// The version of PTX that a driver reads.
    pub mod ptx_version {
        use std::fmt;

        /// A version of PTX; this stand-in emits none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum PtxVersion {}

        impl PtxVersion {
            /// None: NVRTC chooses.
            #[must_use]
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {}
            }
        }
    }
}

/// What a device offers to kernels that LLVM compiles.
pub mod shared {
    /// What a device offers to kernels that LLVM compiles.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// A target of LLVM.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Changes nothing: called for the LLVM compiler alone.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// A target of LLVM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA.
    #[default]
    Nvptx,
}

/// The compiler that is not there.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would compile for.
    pub target: LlvmTarget,
}

/// Options of the compiler that is not there.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// An architecture of AMD.
    pub arch: Option<SmArch>,
    /// An architecture of NVIDIA.
    pub sm_arch: Option<SmArch>,
    /// The version of PTX to emit.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether scalars go into the parameter block.
    pub grid_constants: bool,
}

/// A compiled kernel: there is none.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX, ended by NUL.
    pub ptx: Vec<core::ffi::c_char>,
    /// The kernel's name.
    pub entrypoint: String,
    /// What it was compiled from.
    pub ir: String,
    /// Bytes of shared memory of a launch.
    pub shared_memory_size: usize,
    /// What it does with each buffer.
    pub io: Vec<BufferIOAttr>,
}

/// What the compiler gives.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// For a processor.
    Jit,
    /// For NVIDIA.
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &Self::CompilationOptions,
    ) -> Result<Self::Representation, CompilationError> {
        unimplemented!(
            "this program was built with deploy/offline-cuda, which has no LLVM: build cubecl-cuda \
             with its feature `cpp`"
        )
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "ll"
    }
}
