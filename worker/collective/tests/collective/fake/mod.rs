//! A GPU and NCCL that are threads and memory of this process: enough of both to run the engine
//! over, and to make them fail.

mod gpu;
mod nccl;

pub use gpu::{FakeGpu, Flag, SharedGpu};
pub use nccl::{FakeNccl, Net};
