//! Where numbers of the host lie on their way to the device and back: one block of pinned host
//! memory and one as large on the device, which grow and are used again.

#![expect(
    unsafe_code,
    reason = "pinned memory and copies of the driver's are raw"
)]

use super::CudaFault;
use super::handles::Device;
use std::ops::Range;
use std::ptr::NonNull;

/// The smallest block: votes and the like never make it grow.
const SMALLEST: usize = 1 << 16;

/// Both blocks, of one size. Whoever drops them has seen the stream past all that uses them.
#[derive(Default)]
pub(super) struct Staging {
    blocks: Option<Blocks>,
}

struct Blocks {
    host: NonNull<u8>,
    device: u64,
    size: usize,
}

impl Staging {
    /// Makes room for so many bytes. The stream must be past all that uses the blocks.
    pub fn grow(&mut self, device: &Device, bytes: usize) -> Result<(), CudaFault> {
        if self
            .blocks
            .as_ref()
            .is_some_and(|blocks| blocks.size >= bytes)
        {
            return Ok(());
        }
        self.free(device);
        let size = bytes.next_power_of_two().max(SMALLEST);
        let host = device.allocate_pinned(size)?;
        match device.allocate(size) {
            Ok(pointer) => {
                self.blocks = Some(Blocks {
                    host,
                    device: pointer,
                    size,
                });
                Ok(())
            }
            Err(fault) => {
                // SAFETY: it was allocated above, and nothing has used it.
                unsafe { device.driver().free_pinned(host) };
                Err(fault)
            }
        }
    }

    /// Lets go of both blocks. The stream must be past all that uses them.
    pub fn free(&mut self, device: &Device) {
        if let Some(Blocks {
            host,
            device: pointer,
            ..
        }) = self.blocks.take()
        {
            // SAFETY: the block is the driver's, and the stream is past all that used it.
            unsafe { device.driver().free_pinned(host) };
            // SAFETY: as above.
            unsafe { device.driver().free(pointer) };
        }
    }

    /// Sends bytes to the beginning of the device's block, when the stream comes to it.
    pub fn send(&mut self, device: &Device, bytes: &[u8]) -> Result<(), CudaFault> {
        let blocks = self.expect(bytes.len());
        // SAFETY: the block is at least that long, and no copy of the driver's is under way.
        unsafe {
            blocks
                .host
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };
        let stream = device.stream();
        // SAFETY: both blocks are that long, and are left alone until the stream has passed.
        unsafe {
            device
                .driver()
                .copy_to_device(blocks.device, blocks.host, bytes.len(), stream)
        }
    }

    /// Fetches a part of the device's block into the host's, when the stream comes to it.
    pub fn fetch(&mut self, device: &Device, part: Range<usize>) -> Result<(), CudaFault> {
        let blocks = self.expect(part.end);
        // SAFETY: the part ends within the block.
        let host = unsafe { blocks.host.add(part.start) };
        let pointer = blocks.device + part.start as u64;
        let stream = device.stream();
        // SAFETY: both blocks are that long, and are left alone until the stream has passed.
        unsafe {
            device
                .driver()
                .copy_to_host(host, pointer, part.len(), stream)
        }
    }

    /// A part of the host's block. The stream must be past what was fetched.
    pub fn read(&self, part: Range<usize>) -> Vec<u8> {
        let blocks = self.expect(part.end);
        let mut bytes = vec![0; part.len()];
        // SAFETY: the part ends within the block.
        let host = unsafe { blocks.host.add(part.start) };
        // SAFETY: both are that long, and no copy of the driver's is under way.
        unsafe { host.copy_to_nonoverlapping(NonNull::from(&mut bytes[..]).cast(), part.len()) };
        bytes
    }

    /// Where the device's block begins.
    pub fn pointer(&self) -> u64 {
        self.expect(0).device
    }

    fn expect(&self, bytes: usize) -> &Blocks {
        self.blocks
            .as_ref()
            .filter(|blocks| blocks.size >= bytes)
            .expect("whoever uses the blocks has made them grow")
    }
}
