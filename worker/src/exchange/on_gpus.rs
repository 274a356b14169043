//! Exchanges between GPUs, from memory to memory: the host gives the orders and waits for nothing.
#![allow(unsafe_code, reason = "NCCL is given the addresses of tensors")]

use twinspan_collective::CollectiveError;
use twinspan_collective::nccl::{DeviceBuffer, NcclEngine};
use twinspan_model::Tensor;
use twinspan_model::device::memory_of;

/// All ranks' rows, rank by rank; `rows[r]` is how many rank r has. NCCL gathers parts of one length,
/// so each is filled up to the longest.
pub(super) fn gather_rows(
    nccl: &mut NcclEngine,
    local: Tensor<2>,
    rows: &[usize],
) -> Result<Tensor<2>, CollectiveError> {
    let ([own, width], device) = (local.dims(), local.device());
    let most = rows.iter().copied().max().unwrap_or(own);
    let local = match most - own {
        0 => local,
        missing => Tensor::cat(vec![local, Tensor::zeros([missing, width], &device)], 0),
    };
    let part: Tensor<1> = local.reshape([most * width]);
    let all: Tensor<1> = Tensor::zeros([rows.len() * most * width], &device);
    nccl.all_gather_device(&buffer_of(&part)?, &buffer_of(&all)?)?;
    let all_nw: Tensor<2> = all.reshape([rows.len() * most, width]);
    if rows.iter().all(|rows| *rows == most) {
        return Ok(all_nw);
    }
    let parts = rows.iter().enumerate().map(|(rank, rows)| {
        let first = rank * most;
        all_nw.clone().slice(first..first + rows)
    });
    Ok(Tensor::cat(parts.collect(), 0))
}

/// The sum over all ranks, in the tensor's own memory.
pub(super) fn sum(nccl: &mut NcclEngine, whole: Tensor<1>) -> Result<Tensor<1>, CollectiveError> {
    nccl.all_reduce_sum_device(&buffer_of(&whole)?)?;
    Ok(whole)
}

fn buffer_of(tensor: &Tensor<1>) -> Result<DeviceBuffer, CollectiveError> {
    let memory = memory_of(tensor).ok_or_else(|| CollectiveError::Protocol {
        detail: "what NCCL is to exchange does not lie densely on an NVIDIA GPU".to_owned(),
    })?;
    // SAFETY: `memory_of` gives dense memory of the tensor's device, which the engine and NCCL share by
    // its primary context, and `held` keeps it from being freed, moved or given away.
    Ok(unsafe { DeviceBuffer::new(memory.pointer, memory.len, memory.held) })
}
