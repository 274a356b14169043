//! The memory of tensors on NVIDIA GPUs, for collectives that work on it in place.

use super::DeviceMemory;
use burn::tensor::Tensor;
use burn_cubecl::{Cube, CubeBackend};
use cubecl_cuda::CudaRuntime;
use cubecl_runtime::runtime::Runtime;

/// The memory of a tensor of f32 whose numbers lie densely on an NVIDIA GPU; none for another. All
/// that was asked of the tensor before has been given to the GPU, though it may not have ended.
#[must_use]
pub fn memory_of<const D: usize>(tensor: &Tensor<D>) -> Option<DeviceMemory> {
    let fused = tensor.clone().try_into_primitive::<Cube>().ok()?;
    let client = fused.client.clone();
    let tensor = client.resolve_tensor_float::<CubeBackend>(fused);
    if tensor.dtype != burn::tensor::DType::F32 || !tensor.is_contiguous() {
        return None;
    }
    let len = tensor.meta.shape().num_elements();
    let handle = tensor.handle.clone();
    let resource = tensor
        .client
        .get_resource::<<CudaRuntime as Runtime>::Server>(handle)
        .ok()?;
    tensor.client.flush().ok()?;
    Some(DeviceMemory {
        pointer: resource.resource().ptr,
        len,
        held: Box::new((resource, tensor)),
    })
}
